//! What was counted, as a person reads it, and times list prices.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use super::{Counted, Tally};
use crate::Error;
use crate::layout::Layout;

/// Minutes of a month of 730 hours.
const MONTH: f64 = 730.0 * 60.0;
/// A login of every secret and a look of readiness, each half hour.
const HALF_HOURS: f64 = 730.0 * 2.0;
/// Two items of at most two kilobytes, and a transaction bills each kilobyte twice.
const WRITE_UNITS: f64 = 8.0;

#[derive(Debug, Clone, Deserialize)]
struct Price {
    usd: f64,
    per: f64,
    unit: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Prices {
    read: String,
    #[serde(flatten)]
    prices: BTreeMap<String, Price>,
}

impl Prices {
    pub(super) fn read(layout: &Layout) -> Result<Prices, Error> {
        let text = std::fs::read_to_string(layout.template("tests/stage/prices.toml")).map_err(|source| Error::io("reading the prices", source))?;
        toml::from_str(&text).map_err(Error::part("reading the prices"))
    }
}

/// One line of a bill.
struct Line<'a> {
    what: &'a str,
    month: f64,
    drill: f64,
    price: &'a str,
}

impl Counted {
    fn lines(&self) -> Vec<Line<'_>> {
        let month = |operations: &[&str]| {
            operations.iter().map(|operation| self.minute.calls_of(operation) * MONTH + self.half_hour.calls_of(operation) * HALF_HOURS).sum::<f64>()
                + 0.0
        };
        let drill = |operations: &[&str]| operations.iter().map(|operation| self.drill.calls_of(operation)).sum::<f64>() + 0.0;
        let started = |tally: &Tally, prefix: &str| {
            tally.calls.iter().filter(|((_, called, _), _)| called.starts_with(prefix)).map(|(_, count)| count).sum::<f64>()
        };
        let gb = self.memory_mb / 1024.0;
        let read_units = (self.journal_bytes as f64 / 4096.0).ceil();
        let (reads, writes) = (["dynamodb:Query"], ["dynamodb:TransactWriteItems"]);
        let (s3_reads, s3_writes) = (["s3:HeadObject", "s3:GetObject"], ["s3:PutObject", "s3:ListObjectsV2"]);
        let metrics = ["cloudwatch:GetMetricData", "cloudwatch:PutMetricData"];
        let secrets_month = started(&self.minute, "secretsmanager:") * MONTH + started(&self.half_hour, "secretsmanager:") * HALF_HOURS;
        vec![
            Line {
                what: "Lambda, invocations",
                month: self.minute.invoked() * MONTH + self.half_hour.invoked() * HALF_HOURS,
                drill: self.drill.invoked(),
                price: "lambda-request",
            },
            Line {
                what: "Lambda, time",
                month: (self.minute.seconds() * MONTH + self.half_hour.seconds() * HALF_HOURS) * gb,
                drill: self.drill.seconds() * gb,
                price: "lambda-gb-second",
            },
            Line { what: "Scheduler", month: self.minute.ticks * MONTH, drill: 0.0, price: "scheduler" },
            Line { what: "journal, reads", month: month(&reads) * read_units, drill: drill(&reads) * read_units, price: "dynamodb-read" },
            Line { what: "journal, writes", month: month(&writes) * WRITE_UNITS, drill: drill(&writes) * WRITE_UNITS, price: "dynamodb-write" },
            Line { what: "STOP, looked at", month: month(&s3_reads), drill: drill(&s3_reads), price: "s3-read" },
            Line { what: "STOP, reports", month: month(&s3_writes), drill: drill(&s3_writes), price: "s3-write" },
            Line { what: "metrics read and put", month: month(&metrics), drill: drill(&metrics), price: "cloudwatch-data" },
            Line { what: "secrets", month: secrets_month, drill: started(&self.drill, "secretsmanager:"), price: "secrets-call" },
            Line { what: "notices", month: month(&["sns:Publish"]), drill: drill(&["sns:Publish"]), price: "sns-publish" },
            Line { what: "alarms", month: self.alarms, drill: 0.0, price: "alarm" },
        ]
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "calls                                                                          a minute  half h    a drill")?;
        let mut calls: Vec<&(String, String, String)> =
            self.minute.calls.keys().chain(self.half_hour.calls.keys()).chain(self.drill.calls.keys()).collect();
        calls.sort();
        calls.dedup();
        for call @ (function, called, region) in calls {
            let of = |tally: &Tally| tally.calls.get(call).copied().unwrap_or(0.0);
            let (minute, half, drill) = (of(&self.minute), of(&self.half_hour), of(&self.drill));
            writeln!(f, "{function:<30} {called:<46} {region:<10} {minute:>6.2} {half:>6.0} {drill:>10.0}")?;
        }
        writeln!(f, "\ninvocations                       a minute   ms each    a drill  its seconds")?;
        for (name, (count, millis)) in &self.minute.invocations {
            let (more, longer) = self.drill.invocations.get(name).copied().unwrap_or((0.0, 0.0));
            writeln!(f, "{name:<30} {count:>11.2} {:>9.0} {more:>10.0} {:>12.1}", millis / count.max(f64::EPSILON), longer / 1000.0)?;
        }
        writeln!(
            f,
            "\nThe plan's part of the journal is {} bytes; functions have {:.0} MB; {:.1} minutes of peace are taken off the drill.",
            self.journal_bytes, self.memory_mb, self.drill_minutes
        )?;
        writeln!(f, "A write is taken as {WRITE_UNITS:.0} units. Prices were read on {}.\n", self.prices.read)?;
        writeln!(f, "{:<22} {:>12} {:>9} {:>10} {:>9}   of", "", "a month", "USD", "a drill", "USD")?;
        let (mut month, mut drill) = (0.0, 0.0);
        for line in self.lines() {
            let Some(price) = self.prices.prices.get(line.price) else { return Err(fmt::Error) };
            let usd = |units: f64| units * price.usd / price.per;
            (month, drill) = (month + usd(line.month), drill + usd(line.drill));
            writeln!(
                f,
                "{:<22} {:>12.0} {:>9.2} {:>10.0} {:>9.4}   {}",
                line.what,
                line.month,
                usd(line.month),
                line.drill,
                usd(line.drill),
                price.unit
            )?;
        }
        write!(f, "{:<22} {:>12} {month:>9.2} {:>10} {drill:>9.4}", "together", "", "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::STANDBY;

    const PRICES: &str = include_str!("../../prices.toml");

    fn calls<const N: usize>(calls: [(&str, f64); N]) -> Tally {
        let call = |(operation, count): (&str, f64)| (("a".to_owned(), operation.to_owned(), STANDBY.to_owned()), count);
        Tally { calls: calls.into_iter().map(call).collect(), ..Tally::default() }
    }

    fn counted() -> Counted {
        Counted {
            minute: calls([("dynamodb:Query", 7.0), ("sns:Publish", 1.0)]),
            half_hour: calls([("secretsmanager:GetSecretValue", 2.0)]),
            drill: Tally::default(),
            drill_minutes: 3.0,
            journal_bytes: 5000,
            memory_mb: 256.0,
            alarms: 11.0,
            prices: toml::from_str(PRICES).expect("prices"),
        }
    }

    #[test]
    fn a_month_has_its_minutes_and_its_half_hours_and_a_read_costs_each_four_kilobytes() {
        let counted = counted();
        let month = |what: &str| counted.lines().into_iter().find(|line| line.what == what).map(|line| line.month).expect("a line");
        assert_eq!(month("journal, reads"), 7.0 * 43_800.0 * 2.0);
        assert_eq!(month("secrets"), 2.0 * 1460.0);
        assert!(counted.to_string().contains("together"));
    }

    #[test]
    fn what_is_above_peace_is_never_less_than_nothing() {
        let above = calls([("dynamodb:Query", 10.0), ("sns:Publish", 1.0)]).above(&calls([("dynamodb:Query", 2.0), ("sns:Publish", 1.0)]), 3.0);
        assert_eq!((above.calls_of("dynamodb:Query"), above.calls_of("sns:Publish")), (4.0, 0.0));
    }

    #[test]
    fn each_price_says_where_it_was_read_and_each_line_has_one() {
        let prices: toml::Table = toml::from_str(PRICES).expect("prices");
        let of = |name: &str| prices.get(name).and_then(toml::Value::as_table);
        for line in counted().lines() {
            let price = of(line.price).unwrap_or_else(|| panic!("prices.toml has no {}", line.price));
            assert!(price["source"].as_str().is_some_and(|source| !source.is_empty()), "{}", line.price);
        }
    }
}
