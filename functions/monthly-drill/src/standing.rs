//! The metrics of every invocation.

use std::collections::BTreeMap;

use relight::nudge::View;
use relight::plan::Database;
use relight::run::Mode;
use relight::state::Owed;

/// How the plan stands, in peace and in a run: a drill that hangs while it is undone must not silence the alarm that says so.
///
/// An alarm looks back a week at most, so the days are counted here and not there. Where no drill was good yet there is no
/// number to count from, and none is put out: the alarm takes absence for breach, so a standby that was never proven alarms
/// from its first hours on, until its first good drill. A zero would have been a lie for 35 days. The same holds for the minutes
/// since the last look at the standby's readiness.
pub fn standing(view: &View) -> BTreeMap<&'static str, (f64, &'static str)> {
    let overdue = view.snapshot.obligations.values().filter(|owed| view.now > owed.deadline && !sleeps(&owed.what, view)).count();
    let good = view.snapshot.memory.last_good_drill.map(|good| view.now.duration_since(good).as_secs_f64() / 86_400.0);
    let mut values = BTreeMap::from([("ObligationOverdue", (overdue as f64, "Count"))]);
    values.extend(good.map(|days| ("DaysSinceGoodDrill", (days, "None"))));
    values.extend(unlooked(view).map(|minutes| ("MinutesSinceReadiness", (minutes, "None"))));
    values.extend(
        view.snapshot.memory.readiness.as_ref().filter(|_| !is_shown(view)).map(|seen| ("BlockingFindings", (f64::from(seen.blocking), "Count"))),
    );
    values.extend(unfenced(view).map(|writers| ("UnfencedWriters", (writers as f64, "Count"))));
    values
}

/// Old writers that nobody saw fenced since the failover, or as secondaries where they are Aurora's: each may take rows from whoever does not go by users' name. They are
/// out of that, so it is no alarm of its own: while their Region is dark nothing else is possible. In peace there is no number.
fn unfenced(view: &View) -> Option<usize> {
    let failed_over = view.snapshot.head.run.as_ref().is_some_and(|run| run.mode == Mode::Failover);
    let progress = &view.snapshot.progress;
    let unfenced = |name: &String| progress.traffic.fenced.get(name).is_none_or(|step| step.done_at.is_none());
    // Aurora's own is stopped by Aurora, and over once it is a secondary.
    let pending = |name: &String| progress.promotion.databases.get(name).is_none_or(|step| step.old_writer.over_at.is_none());
    let open = |database: &&Database| if database.is_global() { pending(&database.name) } else { unfenced(&database.name) };
    (failed_over && view.standby_serves()).then(|| view.plan.databases.iter().filter(open).count())
}

/// Minutes in which somebody should have looked whether a failover would work. While a run is open or the standby serves nobody
/// should, and the next look is due only after it.
fn unlooked(view: &View) -> Option<f64> {
    if is_shown(view) {
        return Some(0.0);
    }
    let looked = view.snapshot.memory.readiness.as_ref()?.at;
    let since = view.snapshot.head.run.as_ref().and_then(|run| run.ended_at).map_or(looked, |ended| ended.max(looked));
    Some(view.now.duration_since(since).as_secs_f64() / 60.0)
}

/// A run shows what works, and a standby that serves has no other.
fn is_shown(view: &View) -> bool {
    view.run().is_some() || view.standby_serves()
}

/// Users may need capacity while a failover is open or the standby serves. Nobody needs what is disposable.
fn sleeps(owed: &Owed, view: &View) -> bool {
    let needed = view.standby_serves() || matches!(view.phase(), Some((Mode::Failover, _)));
    matches!(owed, Owed::Capacity) && needed
}
