//! Long answers in pages, as RDS cuts them.

use crate::fault::Fault;
use crate::params::Params;

const LARGEST: usize = 100;
const SMALLEST: usize = 20;

pub(crate) struct Page {
    after: Option<String>,
    size: usize,
}

impl Page {
    pub(crate) fn from(params: &mut Params) -> Result<Page, Fault> {
        let size = params.take_as("MaxRecords")?.unwrap_or(LARGEST);
        if !(SMALLEST..=LARGEST).contains(&size) {
            return Err(Fault::invalid_value(format!("Invalid value {size} for MaxRecords. Must be between {SMALLEST} and {LARGEST}")));
        }
        Ok(Page { after: params.take("Marker"), size })
    }

    /// The items of this page and the marker of the next: the last name shown, so that what comes and goes meanwhile shifts nothing.
    pub(crate) fn of<T>(&self, mut items: Vec<T>, name: impl Fn(&T) -> &str) -> (Vec<T>, Option<String>) {
        items.retain(|item| self.after.as_deref().is_none_or(|after| name(item) > after));
        let more = items.len() > self.size;
        items.truncate(self.size);
        let marker = items.last().filter(|_| more).map(|item| name(item).to_owned());
        (items, marker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_a_hundred_show_each_name_once() {
        let names: Vec<String> = (0..250).map(|number| format!("db-{number:03}")).collect();
        let mut marker = None;
        let mut seen: Vec<String> = Vec::new();
        let mut sizes = Vec::new();
        loop {
            let body = marker.map_or(String::new(), |marker| format!("Marker={marker}"));
            let page = Page::from(&mut Params::parse(body.as_bytes())).unwrap();
            let (shown, next) = page.of(names.clone(), |name| name);
            sizes.push(shown.len());
            seen.extend(shown);
            marker = next;
            if marker.is_none() {
                break;
            }
        }
        assert_eq!(sizes, [100, 100, 50]);
        assert_eq!(seen, names);
    }

    #[test]
    fn last_full_page_has_no_marker() {
        let page = Page::from(&mut Params::parse(b"MaxRecords=20")).unwrap();
        assert_eq!(page.of((10..30).map(|number| number.to_string()).collect(), String::as_str).1, None);
    }
}
