//! monthly-drill: announces a drill, validates the standby while it is held, and writes the report of every run.
//!
//! The report of a run is owed from the write that ended it: the next run may open a second later and take the head and every
//! progress item. So it is worked off on any later tick, from what that write froze, whatever is open then.
//!
//! Opening a drill is the fold's (`relight::fold`), its phases are `relight::advance`'s, scaling, rehearsing and restoring
//! are the other functions' parts: what remains is what people see. Between drills it answers whether a failover would
//! work now ([`mod@readiness`]). With every invocation, whatever is open, it puts out the metrics that alarms look at ([`standing()`]).

mod readiness;
mod standing;

use std::collections::BTreeMap;

use futures_util::future::join_all;
use relight::decide::Decision;
use relight::decide::drill::{Action, decide, grade, recovery_time, writable_in};
use relight::decide::readiness::Stack;
use relight::nudge::{Desk, Next, View, Work, WorkError, put, remove};
use relight::plan::{ActMode, Plan};
use relight::ports::{Audience, EntryKind, Journal, Notice, Notices, Reports, Validate, Write, Written};
use relight::report::{Report, Window, closed_since, page};
use relight::run::{Mode, Phase, Run};
use relight::say;
use relight::state::{DrillProgress, Key, Memory, OwedReport, Part, Snapshot, Validation};

pub use standing::standing;

pub struct MonthlyDrill<R, V, N, A> {
    pub reports: R,
    pub validate: V,
    pub people: N,
    pub audience: A,
    pub stack: Stack,
}

impl<R: Reports, V: Validate, N: Notices, A: Audience> Work for MonthlyDrill<R, V, N, A> {
    const NAME: &'static str = "monthly-drill";
    const LEASE: &'static str = "drill";

    fn wanted(&self, view: &View) -> bool {
        // A drill keeps to its own minute; a failover needs nothing of it until it is over.
        let mine = view.run().is_none_or(|run| run.mode == Mode::Drill) || !view.snapshot.reports.is_empty();
        view.plan.policy.mode == ActMode::Act && mine
    }

    fn measure(&self, view: &View) {
        say::metrics(&view.plan.name, &standing(view), view.now);
    }

    fn owes_readiness(&self, view: &View) -> bool {
        view.snapshot.look.is_some_and(|question| question.is_left(view.now))
    }

    async fn readiness<J: Journal>(&mut self, view: &View, desk: &Desk<'_, J>) -> Result<Next, WorkError> {
        readiness::turn(&self.audience, &self.stack, &self.reports, view, desk).await
    }

    async fn work<J: Journal>(&mut self, view: &View, desk: &Desk<'_, J>) -> Result<Next, WorkError> {
        let progress = &view.snapshot.progress.drill;
        let actions = match decide(&view.plan, view.snapshot.head.run.as_ref(), progress, view.now) {
            Decision::Act(actions) => actions,
            Decision::Done => {
                return match view.snapshot.head.run.as_ref().map(|run| (run, closed_since(&view.plan, &view.snapshot, run))) {
                    Some((run, closed)) if !closed.is_empty() => self.complete(view, desk, run, &closed).await,
                    _ => self.owed(view, desk).await,
                };
            }
            Decision::Wait(waiting) => {
                let line = desk.line(EntryKind::Waiting, "drill", waiting.to_string());
                desk.write(Vec::new(), line).await?;
                // Hours of holding are the tick's to watch over, not this invocation's.
                return self.owed(view, desk).await;
            }
        };
        for action in actions {
            let next = match (action, view.snapshot.head.run.as_ref()) {
                (_, None) => Next::Idle,
                (Action::AnnounceStart, Some(run)) => self.announce(view, desk, run).await?,
                (Action::Validate(urls), Some(_)) => self.validate(view, desk, &urls).await?,
                (Action::EndValidation, Some(_)) => {
                    let progress = DrillProgress { validated_at: Some(desk.now()), ..progress.clone() };
                    record(view, desk, progress, EntryKind::Reached, "validation is over").await?
                }
                (Action::Report, Some(run)) => self.report_newest(view, desk, run).await?,
            };
            if next != Next::Again {
                return Ok(next);
            }
        }
        Ok(Next::Again)
    }
}

impl<R: Reports, V: Validate, N: Notices, A> MonthlyDrill<R, V, N, A> {
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

    async fn validate<J: Journal>(&self, view: &View, desk: &Desk<'_, J>, urls: &[String]) -> Result<Next, WorkError> {
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

    /// The newest run's: from what its parts have done by now, which goes on a little beyond its end.
    async fn report_newest<J: Journal>(&self, view: &View, desk: &Desk<'_, J>, run: &Run) -> Result<Next, WorkError> {
        let owed = view.snapshot.reports.get(&run.id).and_then(|body| OwedReport::read(body).ok());
        let plan = owed.as_ref().map_or(&view.plan, |(_, plan)| plan);
        let (place, report) = self.report(plan, &view.snapshot, desk, run).await?;
        let progress = DrillProgress {
            announced_end_at: Some(desk.now()),
            report: Some(place.clone()),
            passed: Some(report.passed),
            open_windows: report.measured.windows.iter().filter(|window| window.until.is_none()).map(|window| window.secret.clone()).collect(),
            ..view.snapshot.progress.drill.clone()
        };
        let write = desk.progress(view, Part::Drill, &progress)?;
        settle(view, &view.snapshot, desk, run, (plan, &report, &place), Some(write)).await
    }

    /// The report once more, with the end of what was still open when it was first written. People have been told of the run already.
    async fn complete<J: Journal>(&self, view: &View, desk: &Desk<'_, J>, run: &Run, closed: &[Window]) -> Result<Next, WorkError> {
        let history = desk.history(&run.id).await?;
        self.put(&Report::build(&view.plan, &view.snapshot, run, &history), run).await?;
        let ends = closed.iter().filter_map(|window| Some(format!("{} could be refused for {:.1} s", window.secret, window.seconds?)));
        let said = format!("the report is complete: {}", ends.collect::<Vec<_>>().join("; "));
        let progress = DrillProgress { open_windows: Vec::new(), ..view.snapshot.progress.drill.clone() };
        record(view, desk, progress, EntryKind::Reached, &said).await
    }

    /// Says where it lies.
    async fn put(&self, report: &Report, run: &Run) -> Result<String, WorkError> {
        let json = report.json().map_err(|source| WorkError::Shape("the report", source))?;
        Ok(self.reports.put(&run.id.0, &json, &page(report)).await?)
    }

    /// One report that a run before the newest left owed, from what was frozen at its end.
    async fn owed<J: Journal>(&self, view: &View, desk: &Desk<'_, J>) -> Result<Next, WorkError> {
        for (id, body) in &view.snapshot.reports {
            if view.snapshot.head.run.as_ref().is_some_and(|run| run.id == *id && !run.is_open()) {
                // It is written, or this would not be asked: by a version that knows of no owed report.
                desk.write(vec![remove(view, Key::Report(id.clone()))], None).await?;
                return Ok(Next::Again);
            }
            match OwedReport::read(body) {
                Ok((OwedReport { run, progress, .. }, plan)) => {
                    let mut frozen = view.snapshot.clone();
                    frozen.progress = progress;
                    let (place, report) = self.report(&plan, &frozen, desk, &run).await?;
                    return settle(view, &frozen, desk, &run, (&plan, &report, &place), None).await;
                }
                // It waits for the version that froze it, and holds nothing else up.
                Err(why) => drop(desk.line(EntryKind::Failure, "report", format!("the report of {id} cannot be made by this version: {why}"))),
            }
        }
        Ok(Next::Idle)
    }

    /// Makes the report, puts it where reports lie and tells people. Said before it is recorded: told twice is better than not at all.
    async fn report<J: Journal>(&self, plan: &Plan, snapshot: &Snapshot, desk: &Desk<'_, J>, run: &Run) -> Result<(String, Report), WorkError> {
        let history = desk.history(&run.id).await?;
        let report = Report::build(plan, snapshot, run, &history);
        let place = self.put(&report, run).await?;
        let word = word(&report);
        let findings: Vec<String> =
            report.findings.iter().map(|finding| format!("{} {}", if finding.ok { "ok  " } else { "NOT " }, finding.said)).collect();
        let text = format!("{} of plan {} {word}.\n{}\nThe report: {place}", run.id, plan.name, findings.join("\n"));
        self.people.publish(&Notice::People { subject: format!("Relight {}: the {} {word}", plan.name, run.mode), text }).await?;
        say::metrics(&plan.name, &run_metrics(&report), desk.now());
        Ok((place, report))
    }
}

fn word(report: &Report) -> &'static str {
    if report.passed { "passed" } else { "did not pass" }
}

/// The report lies there: nothing is owed any more, a good drill is remembered.
async fn settle<J: Journal>(
    view: &View,
    frozen: &Snapshot,
    desk: &Desk<'_, J>,
    run: &Run,
    (plan, report, place): (&Plan, &Report, &str),
    progress: Option<Write>,
) -> Result<Next, WorkError> {
    let mut writes: Vec<Write> = progress.into_iter().collect();
    if view.snapshot.reports.contains_key(&run.id) {
        writes.push(remove(view, Key::Report(run.id.clone())));
    }
    writes.extend(remember(view, plan, frozen, run, report.passed)?);
    let line = desk.line(EntryKind::Reached, "", format!("the {} {}; report: {place}", run.mode, word(report)));
    let written = desk.write_of(&run.id, writes, line).await?;
    // What else is owed comes next.
    Ok(if written == Written::Lost || view.snapshot.reports.len() > 1 { Next::Again } else { Next::Idle })
}

async fn record<J: Journal>(view: &View, desk: &Desk<'_, J>, progress: DrillProgress, kind: EntryKind, said: &str) -> Result<Next, WorkError> {
    let write = desk.progress(view, Part::Drill, &progress)?;
    let line = desk.line(kind, "drill", said);
    desk.write(vec![write], line).await?;
    Ok(Next::Again)
}

/// What the next failover's estimate and the metric of the last good drill come from.
fn remember(view: &View, plan: &Plan, frozen: &Snapshot, run: &Run, passed: bool) -> Result<Option<Write>, WorkError> {
    if run.mode != Mode::Drill || !passed || grade(plan, frozen, run).is_empty() {
        return Ok(None);
    }
    let progress = &frozen.progress;
    let took = progress.promotion.copies.keys().filter_map(|name| Some((name.clone(), writable_in(progress, run, name)?.as_secs_f64())));
    let recovery_seconds = recovery_time(plan, progress, run).map(|took| took.as_secs_f64());
    let memory = Memory {
        last_good_drill: run.ended_at.max(view.snapshot.memory.last_good_drill),
        promotion_seconds: took.collect(),
        recovery_seconds,
        ..view.snapshot.memory.clone()
    };
    put(view, Key::Memory, &memory).map(Some)
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
