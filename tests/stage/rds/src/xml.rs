//! The little XML that the Query protocol answers with.

use std::fmt::Display;

#[derive(Default)]
pub(crate) struct Xml(String);

impl Xml {
    pub(crate) fn text(&mut self, name: &str, value: impl Display) {
        self.inside(name, |xml| xml.0.push_str(&escaped(&value.to_string())));
    }

    pub(crate) fn optional(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    pub(crate) fn inside(&mut self, name: &str, content: impl FnOnce(&mut Xml)) {
        self.0.push_str(&format!("<{name}>"));
        content(self);
        self.0.push_str(&format!("</{name}>"));
    }

    pub(crate) fn list<T>(&mut self, name: &str, member: &str, items: impl IntoIterator<Item = T>, mut content: impl FnMut(&mut Xml, T)) {
        self.inside(name, |xml| {
            for item in items {
                xml.inside(member, |xml| content(xml, item));
            }
        });
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}
