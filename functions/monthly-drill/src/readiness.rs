//! Would a failover work now? Looked at every half hour by a schedule of its own, and whenever a person asks. It is said, put into
//! the metrics by the next tick, and written as a page that replaces the last one: the bucket keeps versions.

use relight::decide::readiness::{Severity, Stack, readiness};
use relight::look::Look;
use relight::nudge::{Desk, View, WorkError, put};
use relight::ports::{EntryKind, Journal, Reports, Written};
use relight::report::{ReadinessReport, readiness_page};
use relight::state::{Key, Memory, ReadinessSeen};

/// `readiness.html` and `readiness.json` in the bucket of the reports.
const PAGE: &str = "readiness";

pub(crate) async fn look<J: Journal>(
    standby: &impl Look,
    stack: &Stack,
    reports: &impl Reports,
    view: &View,
    desk: &Desk<'_, J>,
) -> Result<Written, WorkError> {
    let seen = standby.look(&view.plan, view.now).await;
    let readiness = readiness(&view.plan, &view.snapshot, &seen, stack, view.now);
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
    let seen = ReadinessSeen { at: view.now, blocking: count(report.blocking), warnings: count(report.warnings), page };
    let memory = Memory { readiness: Some(seen), ..view.snapshot.memory.clone() };
    Ok(desk.write(vec![put(view, Key::Memory, &memory)?], Vec::new()).await?)
}
