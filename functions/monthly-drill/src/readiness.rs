//! Would a failover work now? Asked every half hour by a schedule of its own, and whenever a person asks.
//!
//! ```text
//! no question yet      put it into the journal, wake everybody ──► again
//! answers are missing  wait for them, a minute and a quarter at most
//! all have answered    judge ─► page ─► what was found, in place of question and answers
//! ```
//!
//! What is found is said, put into the metrics by the next tick, and written as a page that replaces the last one: the bucket
//! keeps versions.

use relight::decide::readiness::{Seen, Severity, Silence, Stack, readiness};
use relight::look::{self, Answered, LOOKERS, Question, Sight};
use relight::nudge::{Desk, Next, View, WorkError, put, remove};
use relight::ports::{Audience, EntryKind, Journal, Reports, Written};
use relight::report::{ReadinessReport, readiness_page};
use relight::state::{Key, Memory, ReadinessSeen};
use serde::Deserialize;

/// `readiness.html` and `readiness.json` in the bucket of the reports.
const PAGE: &str = "readiness";

pub(crate) async fn turn<J: Journal>(
    audience: &impl Audience,
    stack: &Stack,
    reports: &impl Reports,
    view: &View,
    desk: &Desk<'_, J>,
) -> Result<Next, WorkError> {
    let Some(question) = view.snapshot.look.filter(|question| !question.is_forgotten(view.now)) else {
        let question = Question { asked_at: view.now };
        if desk.write(vec![put(view, Key::Look, &question)?], Vec::new()).await? == Written::Done {
            desk.tell("how does the standby stand?");
        }
        return Ok(Next::Again);
    };
    let missing = LOOKERS.into_iter().any(|function| look::unanswered(view, function).is_some());
    if missing && !question.is_over(view.now) {
        return Ok(Next::Poll);
    }
    let seen = Seen { audience: look::audience(audience).await, ..answers(view, question) };
    judge(&seen, stack, reports, view, desk).await
}

/// What the functions saw of this question.
fn answers(view: &View, question: Question) -> Seen {
    let of = |function: &'static str| {
        let silence = |unread| Silence { function, unread };
        let body = view.snapshot.sights.get(function).ok_or(silence(None))?;
        let answered = Answered::deserialize(body).map_err(|error| silence(Some(error.to_string())))?;
        if answered.asked_at == question.asked_at { Ok(answered.sight) } else { Err(silence(None)) }
    };
    let other = |function| Silence { function, unread: Some("it looked at something else".to_owned()) };
    let [compute, databases, secrets, traffic] = LOOKERS;
    Seen {
        compute: of(compute).and_then(|sight| if let Sight::Compute(seen) = sight { Ok(seen) } else { Err(other(compute)) }),
        databases: of(databases).and_then(|sight| if let Sight::Databases(seen) = sight { Ok(seen) } else { Err(other(databases)) }),
        secrets: of(secrets).and_then(|sight| if let Sight::Secrets(seen) = sight { Ok(seen) } else { Err(other(secrets)) }),
        traffic: of(traffic).and_then(|sight| if let Sight::Traffic(seen) = sight { Ok(seen) } else { Err(other(traffic)) }),
        audience: look::Read::new(),
    }
}

async fn judge<J: Journal>(seen: &Seen, stack: &Stack, reports: &impl Reports, view: &View, desk: &Desk<'_, J>) -> Result<Next, WorkError> {
    let readiness = readiness(&view.plan, &view.snapshot, seen, stack, view.now);
    let report = ReadinessReport::build(&view.plan, &view.snapshot, &readiness);
    desk.line(EntryKind::Reached, "", report.summary());
    for finding in &readiness.findings {
        let kind = match finding.severity() {
            Severity::Blocking => EntryKind::Refusal,
            Severity::Warning => EntryKind::Waiting,
        };
        desk.line(kind, "", format!("{}: {}: {finding}; {}", finding.severity(), finding.about(), finding.remedy()));
    }
    let json = report.json().map_err(|source| WorkError::Shape("the readiness", source))?;
    let page = reports.put(PAGE, &json, &readiness_page(&report)).await?;
    desk.line(EntryKind::Reached, "", format!("the page: {page}"));
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let found = ReadinessSeen { at: view.now, blocking: count(report.blocking), warnings: count(report.warnings), page };
    let memory = Memory { readiness: Some(found), ..view.snapshot.memory.clone() };
    let asked = view.snapshot.sights.keys().cloned().map(Key::Sight).chain([Key::Look]);
    let mut changes: Vec<_> = asked.map(|key| remove(view, key)).collect();
    changes.push(put(view, Key::Memory, &memory)?);
    // Where somebody wrote beside it, what was seen is judged over what is there now.
    Ok(if desk.write(changes, Vec::new()).await? == Written::Done { Next::Idle } else { Next::Again })
}
