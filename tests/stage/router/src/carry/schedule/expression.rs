//! When a schedule is due: `rate(…)`, `cron(…)` and `at(…)` in AWS's words.

use std::time::Duration;

use chrono::{Datelike, NaiveDate, NaiveDateTime, Timelike};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

#[derive(Clone, Debug)]
pub(crate) enum Expression {
    Rate(Duration),
    Cron(Box<Cron>, TimeZone),
    At(Timestamp),
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum ExpressionError {
    #[error("the schedule expression `{0}` is none of rate(…), cron(…), at(…)")]
    Form(String),
    #[error("the rate `{0}` is not a positive number and a unit that agrees with it (1 minute, 5 minutes)")]
    Rate(String),
    #[error("the cron expression `{0}` is invalid: {1}")]
    Cron(String, String),
    #[error("the time `{0}` is not yyyy-mm-ddThh:mm:ss")]
    At(String),
    #[error("the time zone `{0}` is unknown")]
    Zone(String),
}

impl Expression {
    pub(crate) fn parse(text: &str, zone: &str) -> Result<Self, ExpressionError> {
        let form = || ExpressionError::Form(text.to_owned());
        let (kind, rest) = text.trim().split_once('(').ok_or_else(form)?;
        let inside = rest.strip_suffix(')').ok_or_else(form)?.trim();
        let zone = if zone == "UTC" { TimeZone::UTC } else { TimeZone::get(zone).map_err(|_| ExpressionError::Zone(zone.to_owned()))? };
        match kind {
            "rate" => rate(inside),
            "cron" => cron(inside).map(|cron| Self::Cron(Box::new(cron), zone)),
            "at" => {
                let wrong = || ExpressionError::At(inside.to_owned());
                let time: DateTime = inside.parse().map_err(|_| wrong())?;
                Ok(Self::At(time.to_zoned(zone).map_err(|_| wrong())?.timestamp()))
            }
            _ => Err(form()),
        }
    }

    /// How long from `now` until it is due; `None`: never again.
    pub(crate) fn wait(&self, first: bool, rate_factor: f64, now: Timestamp) -> Option<Duration> {
        match self {
            Self::Rate(_) if first => Some(Duration::ZERO),
            Self::Rate(interval) => Some(interval.div_f64(rate_factor)),
            Self::Cron(cron, zone) => next(cron, zone, now).and_then(|due| Duration::try_from(due.duration_since(now)).ok()),
            Self::At(_) if !first => None,
            Self::At(time) => Duration::try_from(time.duration_since(now)).ok(),
        }
    }

    /// The sleep's clock and the wall's differ by a little: waking a moment before the minute would fire it twice.
    pub(crate) fn slack(&self) -> Duration {
        match self {
            Self::Cron(..) => Duration::from_millis(50),
            Self::Rate(_) | Self::At(_) => Duration::ZERO,
        }
    }
}

fn rate(text: &str) -> Result<Expression, ExpressionError> {
    let wrong = || ExpressionError::Rate(text.to_owned());
    let (count, unit) = text.split_once(' ').ok_or_else(wrong)?;
    let count: u64 = count.parse().ok().filter(|count| *count > 0).ok_or_else(wrong)?;
    let seconds = match (unit.trim(), count) {
        ("minute", 1) | ("minutes", 2..) => 60,
        ("hour", 1) | ("hours", 2..) => 3600,
        ("day", 1) | ("days", 2..) => 86_400,
        _ => return Err(wrong()),
    };
    Ok(Expression::Rate(Duration::from_secs(count * seconds)))
}

/// AWS's six fields (minute to year), Sunday being 1; exactly one of the two day fields is `?`.
fn cron(text: &str) -> Result<Cron, ExpressionError> {
    let wrong = |why: String| ExpressionError::Cron(text.to_owned(), why);
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [_, _, day, _, weekday, _] = fields.as_slice() else {
        return Err(wrong(format!("it has {} fields, not six", fields.len())));
    };
    if (*day == "?") == (*weekday == "?") {
        return Err(wrong("exactly one of day-of-month and day-of-week must be `?`".to_owned()));
    }
    CronParser::builder()
        .seconds(Seconds::Required)
        .year(Year::Required)
        .alternative_weekdays(true)
        .build()
        .parse(&format!("0 {text}"))
        .map_err(|error| wrong(error.to_string()))
}

/// Searches the wall clock of the zone, so that a change to summer time moves the instant and not the hour.
fn next(cron: &Cron, zone: &TimeZone, now: Timestamp) -> Option<Timestamp> {
    let wall = now.to_zoned(zone.clone()).datetime();
    let day = NaiveDate::from_ymd_opt(wall.year().into(), wall.month().unsigned_abs().into(), wall.day().unsigned_abs().into())?;
    let (hour, minute, second) = (wall.hour(), wall.minute(), wall.second());
    let wall = day.and_hms_opt(hour.unsigned_abs().into(), minute.unsigned_abs().into(), second.unsigned_abs().into())?;
    let due: NaiveDateTime = cron.find_next_occurrence(&wall.and_utc(), false).ok()?.naive_utc();
    let due = DateTime::new(
        i16::try_from(due.year()).ok()?,
        i8::try_from(due.month()).ok()?,
        i8::try_from(due.day()).ok()?,
        i8::try_from(due.hour()).ok()?,
        i8::try_from(due.minute()).ok()?,
        0,
        0,
    );
    Some(due.ok()?.to_zoned(zone.clone()).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::first_monday("cron(5 0 ? * 2#1 *)", "UTC", "2026-01-01T00:00:00Z", "2026-01-05T00:05:00Z")]
    #[case::first_monday_of_next_month("cron(5 0 ? * 2#1 *)", "UTC", "2026-01-05T00:05:00Z", "2026-02-02T00:05:00Z")]
    #[case::weekday_by_name("cron(0 12 ? * SUN *)", "UTC", "2026-01-01T00:00:00Z", "2026-01-04T12:00:00Z")]
    #[case::every_half_hour("cron(0/30 * * * ? *)", "UTC", "2026-01-01T00:10:00Z", "2026-01-01T00:30:00Z")]
    #[case::in_its_zone("cron(0 9 * * ? *)", "Europe/Berlin", "2026-01-01T09:00:00Z", "2026-01-02T08:00:00Z")]
    #[case::same_hour_in_summer("cron(0 9 * * ? *)", "Europe/Berlin", "2026-07-01T09:00:00Z", "2026-07-02T07:00:00Z")]
    #[case::a_year("cron(0 0 1 1 ? 2028)", "UTC", "2026-01-01T00:00:00Z", "2028-01-01T00:00:00Z")]
    fn cron_is_due(#[case] text: &str, #[case] zone: &str, #[case] now: Timestamp, #[case] due: Timestamp) {
        let wait = Expression::parse(text, zone).unwrap().wait(true, 10.0, now).unwrap();
        assert_eq!(now + wait, due);
    }

    #[test]
    fn a_rate_is_due_at_once_and_then_shortened_by_the_factor() {
        let rate = Expression::parse("rate(1 minute)", "UTC").unwrap();
        let now = Timestamp::now();
        assert_eq!(rate.wait(true, 10.0, now), Some(Duration::ZERO));
        assert_eq!(rate.wait(false, 10.0, now), Some(Duration::from_secs(6)));
    }

    #[test]
    fn a_single_time_is_due_once_and_never_when_past() {
        let once = Expression::parse("at(2026-01-01T01:00:00)", "UTC").unwrap();
        let before: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(once.wait(true, 10.0, before), Some(Duration::from_secs(3600)));
        assert_eq!(once.wait(false, 10.0, before), None);
        assert_eq!(once.wait(true, 10.0, "2026-01-02T00:00:00Z".parse().unwrap()), None);
    }

    #[rstest]
    #[case("every minute")]
    #[case("rate(0 minutes)")]
    #[case("rate(1 minutes)")]
    #[case("rate(5 minute)")]
    #[case("cron(* * * * *)")]
    #[case("cron(0 0 * * * *)")]
    #[case("cron(0 0 ? * ? *)")]
    #[case("at(tomorrow)")]
    fn what_aws_refuses_is_refused(#[case] text: &str) {
        assert!(Expression::parse(text, "UTC").is_err());
    }
}
