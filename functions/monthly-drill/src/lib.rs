//! monthly-drill: announces a drill, validates the standby while it is held, and writes the report of every run.
//!
//! Opening a drill is the fold's (`relight::fold`), its phases are `relight::advance`'s, scaling, rehearsing and restoring
//! are the other functions' parts: what remains is what people see. With every invocation, whatever is open, it puts out the
//! two metrics that alarms look at: days since the last good drill, and obligations past their deadline.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use relight::decide::Decision;
use relight::decide::drill::{Action, decide, grade};
use relight::nudge::{Desk, Next, View, Work, WorkError, put};
use relight::plan::ActMode;
use relight::ports::{EntryKind, Journal, Notice, Notices, Reports, Validate, Write, Written};
use relight::report::{Report, page};
use relight::run::{Mode, Phase, Run};
use relight::say;
use relight::state::{DrillProgress, Key, Memory, Owed, Part, Validation};

pub struct MonthlyDrill<R, V, N> {
    pub reports: R,
    pub validate: V,
    pub people: N,
}

impl<R: Reports, V: Validate, N: Notices> Work for MonthlyDrill<R, V, N> {
    const NAME: &'static str = "monthly-drill";
    const LEASE: &'static str = "drill";

    fn wanted(&self, view: &View) -> bool {
        // A drill keeps to its own minute; a failover needs nothing of it until it is over.
        view.plan.policy.mode == ActMode::Act && view.run().is_none_or(|run| run.mode == Mode::Drill)
    }

    fn measure(&self, view: &View) {
        say::metrics(&view.plan.name, &standing(view), view.now);
    }

    async fn work<J: Journal>(&mut self, view: &View, desk: &Desk<'_, J>) -> Result<Next, WorkError> {
        let progress = &view.snapshot.progress.drill;
        let actions = match decide(&view.plan, view.snapshot.head.run.as_ref(), progress, view.now) {
            Decision::Act(actions) => actions,
            Decision::Done => return Ok(Next::Idle),
            Decision::Wait(waiting) => {
                let line = desk.line(EntryKind::Waiting, "drill", waiting.to_string());
                desk.write(Vec::new(), line).await?;
                // Hours of holding are the tick's to watch over, not this invocation's.
                return Ok(Next::Idle);
            }
        };
        for action in actions {
            let next = match (action, view.snapshot.head.run.as_ref()) {
                (_, None) => Next::Idle,
                (Action::AnnounceStart, Some(run)) => self.announce(view, desk, run).await?,
                (Action::Validate(urls), Some(_)) => self.look(view, desk, &urls).await?,
                (Action::EndValidation, Some(_)) => {
                    let progress = DrillProgress { validated_at: Some(desk.now()), ..progress.clone() };
                    record(view, desk, progress, EntryKind::Reached, "validation is over").await?
                }
                (Action::Report, Some(run)) => self.report(view, desk, run).await?,
            };
            if next != Next::Again {
                return Ok(next);
            }
        }
        Ok(Next::Again)
    }
}

impl<R: Reports, V: Validate, N: Notices> MonthlyDrill<R, V, N> {
    /// Said before it is recorded: told twice is better than not at all.
    async fn announce<J: Journal>(&self, view: &View, desk: &Desk<'_, J>, run: &Run) -> Result<Next, WorkError> {
        let latest = run.opened_at.saturating_add(view.plan.drill.deadline).unwrap_or(run.opened_at);
        let text = format!(
            "The drill {} of plan {} has begun. {} goes to full capacity, a disposable copy of each database is promoted, and after {:#} everything is given back, at the latest at {latest}. \
             Users and the primary Region are not touched. To end it early: stand-down.",
            run.id, view.plan.name, view.plan.standby, view.plan.drill.hold
        );
        self.people.publish(&Notice::People { subject: format!("Relight {}: the drill begins", view.plan.name), text }).await?;
        let progress = DrillProgress { announced_at: Some(desk.now()), ..view.snapshot.progress.drill.clone() };
        record(view, desk, progress, EntryKind::Action, "announced the drill").await
    }

    async fn look<J: Journal>(&self, view: &View, desk: &Desk<'_, J>, urls: &[String]) -> Result<Next, WorkError> {
        let seen = join_all(urls.iter().map(|url| self.validate.look(url))).await;
        let mut progress = view.snapshot.progress.drill.clone();
        let mut lines = Vec::new();
        for (url, seen) in urls.iter().zip(seen) {
            let (ok, said) = match seen {
                Ok(said) => (true, said),
                Err(why) => (false, why),
            };
            lines.extend(desk.line(if ok { EntryKind::Reached } else { EntryKind::Failure }, url, said.clone()));
            progress.validated.insert(url.clone(), Validation { ok, said });
        }
        let all = progress.validated.values().all(|seen| seen.ok);
        if progress == view.snapshot.progress.drill {
            return Ok(Next::Poll);
        }
        let write = desk.progress(view, Part::Drill, &progress)?;
        let written = desk.write(vec![write], lines).await?;
        Ok(if all || written == Written::Lost { Next::Again } else { Next::Poll })
    }

    /// Writes the report, remembers a good drill, tells people where it lies.
    async fn report<J: Journal>(&self, view: &View, desk: &Desk<'_, J>, run: &Run) -> Result<Next, WorkError> {
        let history = desk.history(&run.id).await?;
        let report = Report::build(&view.plan, &view.snapshot, run, &history);
        let json = report.json().map_err(|source| WorkError::Shape("the report", source))?;
        let place = self.reports.put(&run.id.0, &json, &page(&report)).await?;
        let word = if report.passed { "passed" } else { "did not pass" };
        let findings: Vec<String> =
            report.findings.iter().map(|finding| format!("{} {}", if finding.ok { "ok  " } else { "NOT " }, finding.said)).collect();
        let text = format!("{} of plan {} {word}.\n{}\nThe report: {place}", run.id, view.plan.name, findings.join("\n"));
        self.people.publish(&Notice::People { subject: format!("Relight {}: the {} {word}", view.plan.name, run.mode), text }).await?;
        say::metrics(&view.plan.name, &run_metrics(&report), desk.now());
        let progress = DrillProgress {
            announced_end_at: Some(desk.now()),
            report: Some(place.clone()),
            passed: Some(report.passed),
            ..view.snapshot.progress.drill.clone()
        };
        let mut writes = vec![desk.progress(view, Part::Drill, &progress)?];
        writes.extend(remember(view, run, report.passed)?);
        let line = desk.line(EntryKind::Reached, "", format!("the {} {word}; report: {place}", run.mode));
        let written = desk.write(writes, line).await?;
        Ok(if written == Written::Lost { Next::Again } else { Next::Idle })
    }
}

async fn record<J: Journal>(view: &View, desk: &Desk<'_, J>, progress: DrillProgress, kind: EntryKind, said: &str) -> Result<Next, WorkError> {
    let write = desk.progress(view, Part::Drill, &progress)?;
    let line = desk.line(kind, "drill", said);
    desk.write(vec![write], line).await?;
    Ok(Next::Again)
}

/// What the next failover's estimate and the metric of the last good drill come from.
fn remember(view: &View, run: &Run, passed: bool) -> Result<Option<Write>, WorkError> {
    if run.mode != Mode::Drill || !passed || grade(&view.plan, &view.snapshot, run).is_empty() {
        return Ok(None);
    }
    let progress = &view.snapshot.progress;
    let took = progress.promotion.copies.iter().filter_map(|(name, copy)| {
        let writable = progress.rotation.rehearsal.proven.get(name).copied().or(copy.promoted_at)?;
        Some((name.clone(), writable.duration_since(copy.promote_called_at?).as_secs_f64()))
    });
    let memory = Memory { last_good_drill: run.ended_at, promotion_seconds: took.collect(), ..view.snapshot.memory.clone() };
    put(view, Key::Memory, &memory).map(Some)
}

/// How the plan stands, in peace and in a run: a drill that hangs while it is undone must not silence the alarm that says so.
///
/// An alarm looks back a week at most, so the days are counted here and not there. Where no drill was good yet there is no
/// number to count from, and none is put out: the alarm takes absence for breach, so a standby that was never proven alarms
/// from its first hours on, until its first good drill. A zero would have been a lie for 35 days.
pub fn standing(view: &View) -> BTreeMap<&'static str, (f64, &'static str)> {
    let overdue = view.snapshot.obligations.values().filter(|owed| view.now > owed.deadline && !sleeps(&owed.what, view)).count();
    let good = view.snapshot.memory.last_good_drill.map(|good| view.now.duration_since(good).as_secs_f64() / 86_400.0);
    let mut values = BTreeMap::from([("ObligationOverdue", (overdue as f64, "Count"))]);
    values.extend(good.map(|days| ("DaysSinceGoodDrill", (days, "None"))));
    values
}

/// Users may need capacity while a failover is open or the standby serves. Nobody needs what is disposable.
fn sleeps(owed: &Owed, view: &View) -> bool {
    let needed = view.standby_serves() || matches!(view.phase(), Some((Mode::Failover, _)));
    matches!(owed, Owed::Capacity) && needed
}

fn run_metrics(report: &Report) -> BTreeMap<&'static str, (f64, &'static str)> {
    let mut values = BTreeMap::new();
    let (passed, rto) = match (report.mode, report.ended) {
        (Mode::Drill, _) => ("DrillPassed", "DrillRecoveryTime"),
        (Mode::Failover, Phase::Active) => ("FailoverPassed", "FailoverRecoveryTime"),
        (Mode::Failover, _) => ("StoodDown", "StandDownTime"),
        (Mode::Failback, _) => ("FailbackPassed", "FailbackTime"),
    };
    values.insert(passed, (f64::from(u8::from(report.passed)), "Count"));
    values.extend(report.measured.rto_seconds.map(|seconds| (rto, (seconds, "Seconds"))));
    values.extend(report.measured.write_pause_seconds.map(|seconds| ("WritePause", (seconds, "Seconds"))));
    values.extend(report.measured.rpo_seconds.map(|seconds| ("EstimatedLoss", (seconds, "Seconds"))));
    values
}
