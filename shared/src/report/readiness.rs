//! The page of a look at the standby's readiness: would a failover work now, what stops it, what to do. As JSON it is documented
//! in docs/readiness.md.

use std::collections::BTreeMap;

use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::{Deserialize, Serialize};

use super::html::{STYLE, moment, seconds};
use super::{BY_HAND, Objectives};
use crate::decide::readiness::{Finding, Readiness, Severity};
use crate::plan::{ObserverKind, Plan};
use crate::state::Snapshot;

/// One look, as people and machines read it. Times are UTC, durations are seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReadinessReport {
    pub plan: String,
    pub plan_version: u64,
    pub primary: String,
    pub standby: String,
    pub at: Timestamp,
    /// Nothing blocks.
    pub ready: bool,
    pub blocking: usize,
    pub warnings: usize,
    pub objectives: Objectives,
    pub estimates: Estimates,
    /// Blocking ones first.
    pub findings: Vec<Row>,
    /// What a look in peace cannot show, so that nobody concludes it.
    pub not_shown: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimates {
    /// The last good drill's recovery and the dwell before it; `None` before the first one.
    pub rto_seconds: Option<f64>,
    pub drilled_at: Option<Timestamp>,
    /// From the call of a database's promotion until it takes writes, as that drill measured it on its copy; by the database's name.
    #[serde(default)]
    pub writable_seconds: BTreeMap<String, f64>,
    /// The largest lag now; `None` where one is unknown.
    pub rpo_seconds: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub severity: Severity,
    pub about: String,
    pub said: String,
    pub remedy: String,
}

impl Row {
    fn of(finding: &Finding) -> Row {
        Row { severity: finding.severity(), about: finding.about(), said: finding.to_string(), remedy: finding.remedy() }
    }
}

impl ReadinessReport {
    pub fn build(plan: &Plan, snapshot: &Snapshot, readiness: &Readiness) -> ReadinessReport {
        let estimates = &readiness.estimates;
        ReadinessReport {
            plan: plan.name.clone(),
            plan_version: snapshot.head.plan_version,
            primary: plan.primary.clone(),
            standby: plan.standby.clone(),
            at: readiness.at,
            ready: readiness.blocking() == 0,
            blocking: readiness.blocking(),
            warnings: readiness.warnings(),
            objectives: Objectives { rto_seconds: plan.objectives.rto.as_secs_f64(), rpo_seconds: plan.objectives.rpo.as_secs_f64() },
            estimates: Estimates {
                rto_seconds: estimates.rto_seconds,
                drilled_at: estimates.drilled_at,
                writable_seconds: estimates.writable_seconds.clone(),
                rpo_seconds: estimates.rpo_seconds,
            },
            findings: readiness.findings.iter().map(Row::of).collect(),
            not_shown: not_shown(plan, snapshot),
        }
    }

    /// The documented form.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }

    /// The look in one sentence.
    pub fn summary(&self) -> String {
        match (self.blocking, self.warnings) {
            (0, 0) => "a failover would work now: nothing was found".to_owned(),
            (0, warnings) => format!("a failover would work now, with {warnings} warning(s)"),
            (blocking, warnings) => format!("a failover would not work now: {blocking} finding(s) block it, {warnings} warning(s)"),
        }
    }
}

fn not_shown(plan: &Plan, snapshot: &Snapshot) -> Vec<String> {
    let mut lines = vec![
        "that Route 53's checkers may read the STOP object: while it is absent, S3 answers a stranger 403 either way".to_owned(),
        "that AWS has the capacity, and your quotas allow it, when the whole primary Region moves at once".to_owned(),
        "that alarms of other Regions reach the functions: neither the primary Region nor us-east-1 is asked".to_owned(),
        "that the application starts and serves here: a drill shows it".to_owned(),
    ];
    let alarms = plan.observers.iter().filter(|observer| matches!(observer.kind, ObserverKind::Alarm { .. }));
    let unheard = alarms.filter(|observer| !snapshot.evidence.observers.contains_key(&observer.name));
    lines.extend(unheard.map(|observer| format!("that the alarm of observer {} arrives: it never changed since Relight listens", observer.name)));
    for database in plan.databases.iter().filter(|database| database.is_global()) {
        lines.push(format!(
            "that {} takes over, how long that takes, and so a recovery: a drill restores its snapshot, which moves no writer; {BY_HAND}",
            database.replica
        ));
    }
    for database in &plan.databases {
        if !plan.secrets.iter().any(|secret| secret.database == database.name) {
            lines.push(format!("that anybody can log in to database {}: no secret of the plan opens it", database.name));
        }
    }
    lines
}

const OWN_STYLE: &str = "
.finding { display:grid; grid-template-columns:minmax(150px,240px) 1fr; gap:4px 20px; padding:11px 0; border-bottom:1px solid var(--line) } .finding:last-child { border-bottom:0 }
.about { font-weight:600; overflow-wrap:anywhere } .do { color:var(--soft); margin-top:3px; overflow-wrap:anywhere } .do b { color:var(--ink); font-weight:600 }
.blocking { border-left:4px solid var(--bad) } .warning { border-left:4px solid var(--warn) } .count { color:var(--soft); font-weight:400 }
code { font:13px ui-monospace,monospace; color:var(--ink); background:var(--back); border-radius:4px; padding:1px 4px } .unsure { background:var(--warn) } @media (max-width:640px) { .finding { grid-template-columns:1fr } }
";

/// The look as one page: no script, no outside resource.
pub fn readiness_page(report: &ReadinessReport) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Relight " (report.plan) ": readiness" }
                style { (PreEscaped(STYLE)) (PreEscaped(OWN_STYLE)) }
            }
            body { main {
                (heading(report))
                (tiles(report))
                (findings(report, Severity::Blocking, "What would stop a failover"))
                (findings(report, Severity::Warning, "What would make it slower, or unseen, or will stop one some day"))
                @if report.findings.is_empty() { h2 { "Findings" } div .card { span .mark .ok { "✓" } "Nothing was found." } }
                h2 { "What this look cannot show" }
                div .card { ul { @for line in &report.not_shown { li { span .mark .soft { "–" } (line) } } } }
            } }
        }
    }
    .into_string()
}

fn heading(report: &ReadinessReport) -> Markup {
    let (class, word) = match (report.blocking, report.warnings) {
        (0, 0) => ("good", "ready"),
        (0, _) => ("unsure", "ready, with warnings"),
        _ => ("bad", "not ready"),
    };
    html! {
        h1 { "Readiness of " (report.plan) span .badge .(class) { (word) } }
        p { "If " (report.primary) " failed now: " (report.summary()) "." }
        p .soft { (report.primary) " to " (report.standby) " · plan version " (report.plan_version) " · looked at " (moment(report.at)) }
    }
}

fn tiles(report: &ReadinessReport) -> Markup {
    let tile = |name: &str, estimate: Option<f64>, objective: f64, from: &str| {
        html! {
            div .tile .over[estimate.is_some_and(|estimate| estimate > objective)] {
                span .soft { (name) }
                b { @match estimate { Some(estimate) => (seconds(estimate)), None => "unknown" } }
                span .soft { "objective " (seconds(objective)) " · " (from) }
            }
        }
    };
    let drill = report.estimates.drilled_at.map_or("no good drill yet".to_owned(), |at| format!("drill of {}", at.strftime("%Y-%m-%d")));
    html! {
        div .tiles {
            div .tile .over[report.blocking > 0] {
                span .soft { "Findings" }
                b { (report.blocking) " blocking" }
                span .soft { (report.warnings) " warning(s)" }
            }
            (tile("Estimated recovery time (RTO)", report.estimates.rto_seconds, report.objectives.rto_seconds, &drill))
            @for (name, took) in &report.estimates.writable_seconds {
                div .tile { span .soft { "Of it, " (name) " until it takes writes" } b { (seconds(*took)) } span .soft { (drill) } }
            }
            (tile("Estimated loss (RPO)", report.estimates.rpo_seconds, report.objectives.rpo_seconds, "lag now"))
        }
    }
}

fn findings(report: &ReadinessReport, severity: Severity, title: &str) -> Markup {
    let rows: Vec<&Row> = report.findings.iter().filter(|row| row.severity == severity).collect();
    html! {
        @if !rows.is_empty() {
            h2 { (title) span .count { " " (rows.len()) } }
            div .card .(severity) {
                @for row in rows {
                    div .finding {
                        div .about { (row.about) }
                        div { (with_code(&sentence(&row.said))) div .do { b { "Do: " } (with_code(&row.remedy)) } }
                    }
                }
            }
        }
    }
}

/// What stands between backticks is to be typed.
fn with_code(text: &str) -> Markup {
    html! { @for (index, part) in text.split('`').enumerate() { @if index % 2 == 1 { code { (part) } } @else { (part) } } }
}

/// With a capital and a full stop. What begins with a name keeps it.
fn sentence(said: &str) -> String {
    const BEGINNINGS: [&str; 8] = ["a", "it", "no", "nobody", "only", "that", "the", "there"];
    let word = said.split(' ').next().unwrap_or_default();
    let mut characters = said.chars();
    let said = match characters.next() {
        Some(letter) if BEGINNINGS.contains(&word) => letter.to_uppercase().chain(characters).collect(),
        _ => said.to_owned(),
    };
    if said.ends_with('.') { said } else { format!("{said}.") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::readiness::Estimates as Estimated;
    use crate::situations::{Situation, at};

    fn page_of(findings: Vec<Finding>) -> String {
        let situation = Situation::peace();
        let readiness = Readiness { at: at(0), findings, estimates: Estimated::default() };
        readiness_page(&ReadinessReport::build(&situation.plan, &situation.journal, &readiness))
    }

    #[test]
    fn a_sentence_begins_with_a_capital_unless_it_begins_with_a_name() {
        let said = ["the standby Region has none", "workers has suspended Launch", "shop/app stands alone.", ""].map(sentence);
        assert_eq!(said, ["The standby Region has none.", "workers has suspended Launch.", "shop/app stands alone.", "."]);
    }

    #[test]
    fn what_is_to_be_typed_is_set_apart_and_what_was_read_never_becomes_markup() {
        let failed = Finding::LoginFailed { secret: "shop/app".to_owned(), said: "<script>; say `drill`".to_owned() };
        let page = page_of(vec![failed]);
        assert!(page.contains("<code>drill</code>") && page.contains("&lt;script&gt;") && !page.contains("<script"), "{page}");
    }

    #[test]
    fn an_estimate_that_nobody_has_is_unknown_and_never_nothing() {
        let page = page_of(vec![Finding::NeverDrilled]);
        assert!(page.contains("unknown") && page.contains("no good drill yet") && page.contains("ready, with warnings"), "{page}");
        assert!(page_of(Vec::new()).contains("Nothing was found."));
    }
}
