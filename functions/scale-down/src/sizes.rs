//! The baseline, exactly.

use futures_util::future::join_all;
use jiff::Timestamp;
use relight::decide::Decision;
use relight::decide::capacity::{self, Due, Patience, Refusal, restore_group, restore_service};
use relight::nudge::View;
use relight::plan::ResourceId;
use relight::ports::{CallError, Compute, EntryKind, GroupName, Resize, ServiceName};
use relight::state::{CapacityStep, CapacityTarget, Key, RestoreProgress};

use crate::{Half, ScaleDown};

/// A resource of the baseline and what is due for it.
struct Judged {
    id: ResourceId,
    wanted: u32,
    running: Option<u32>,
    due: Result<Due, String>,
}

impl Judged {
    fn resizes(&self) -> &[Resize] {
        match &self.due {
            Ok(Decision::Act(resizes)) => resizes,
            _ => &[],
        }
    }
}

impl<C: Compute, D, S> ScaleDown<C, D, S> {
    /// Brings every resource of the baseline one step nearer to it.
    pub(crate) async fn sizes(&self, view: &View, now: Timestamp) -> (Half, RestoreProgress) {
        let mut half = Half::default();
        let mut progress = view.snapshot.progress.restore.clone();
        match capacity::lowering(&view.snapshot, now) {
            Decision::Act(_) => {}
            Decision::Done => return (half, progress),
            Decision::Wait(waiting) => {
                half.say(EntryKind::Waiting, "capacity", waiting.to_string());
                return (Half { open: true, ..half }, progress);
            }
            Decision::Refuse(refusal) => {
                half.say(EntryKind::Refusal, "capacity", refusal.to_string());
                return (Half { open: true, ..half }, progress);
            }
        }
        let mut targets = Vec::new();
        for (id, baseline) in &view.snapshot.baseline {
            match baseline.as_target() {
                Ok(target) => targets.push(target),
                Err(why) => {
                    half.say(EntryKind::Refusal, &id.0, why);
                    half.open = true;
                }
            }
        }
        let judged = self.judge(view, &targets, &mut progress, now).await;
        let asked = self.ask(&judged).await;
        for (judged, asked) in judged.iter().zip(asked) {
            if let Some(step) = progress.resources.get_mut(&judged.id) {
                note(&mut half, step, judged, asked, now);
            }
        }
        (half, progress)
    }

    async fn judge(&self, view: &View, targets: &[CapacityTarget], progress: &mut RestoreProgress, now: Timestamp) -> Vec<Judged> {
        let services: Vec<ServiceName> = targets
            .iter()
            .filter_map(|target| match target {
                CapacityTarget::Service(service) => Some(ServiceName::of(service)),
                CapacityTarget::Group(_) => None,
            })
            .collect();
        let groups: Vec<GroupName> = targets
            .iter()
            .filter_map(|target| match target {
                CapacityTarget::Group(group) => Some(GroupName(group.name.clone())),
                CapacityTarget::Service(_) => None,
            })
            .collect();
        let (services, groups) = tokio::join!(self.compute.services(&services), self.compute.groups(&groups));

        let mut patience = |id: &ResourceId, wanted: u32| {
            let fresh = CapacityStep { requested_at: Some(now), reached_at: None, running: 0, wanted, said: String::new() };
            let step = progress.resources.entry(id.clone()).or_insert_with(|| fresh.clone());
            // A run that is undone a second time begins anew.
            if view.run().is_some_and(|run| step.requested_at.is_none_or(|at| at < run.phase_since)) {
                *step = fresh;
            }
            Patience { since: step.requested_at, lasting: view.plan.policy.step_deadline, now }
        };
        targets
            .iter()
            .filter_map(|target| match target {
                CapacityTarget::Service(baseline) => {
                    let (id, wanted) = (baseline.id(), baseline.desired);
                    let patience = patience(&id, wanted);
                    Some(match services.get(&ServiceName::of(baseline))? {
                        Err(error) => Judged { id, wanted, running: None, due: Err(error.to_string()) },
                        Ok(state) => {
                            let running = Some(state.as_ref().map_or(0, |state| state.running));
                            Judged { id, wanted, running, due: Ok(restore_service(baseline, state.as_ref(), patience)) }
                        }
                    })
                }
                CapacityTarget::Group(baseline) => {
                    let (id, wanted) = (baseline.id(), baseline.desired);
                    let patience = patience(&id, wanted);
                    Some(match groups.get(&GroupName(baseline.name.clone()))? {
                        Err(error) => Judged { id, wanted, running: None, due: Err(error.to_string()) },
                        Ok(state) => {
                            let running = Some(state.as_ref().map_or(0, |state| state.in_service));
                            Judged { id, wanted, running, due: Ok(restore_group(baseline, state.as_ref(), patience)) }
                        }
                    })
                }
            })
            .collect()
    }

    /// Asks for what is due, the calls about one resource in order, resources side by side.
    async fn ask(&self, judged: &[Judged]) -> Vec<Result<(), CallError>> {
        join_all(judged.iter().map(async |judged| {
            for resize in judged.resizes() {
                self.compute.resize(resize).await?;
            }
            Ok(())
        }))
        .await
    }
}

/// Brings the step up to date and says what became of it.
fn note(half: &mut Half, step: &mut CapacityStep, judged: &Judged, asked: Result<(), CallError>, now: Timestamp) {
    let about = &judged.id.0;
    step.running = judged.running.unwrap_or(step.running);
    step.wanted = judged.wanted;
    let gone = "was deleted meanwhile: nothing is left to restore, its baseline is dropped";
    let (kind, said, freed) = match (&judged.due, asked) {
        (Err(unread), _) => (EntryKind::Failure, unread.clone(), false),
        (Ok(Decision::Act(_)), Err(error)) => (EntryKind::Failure, error.to_string(), false),
        (Ok(Decision::Act(resizes)), Ok(())) => {
            let asked: Vec<String> = resizes.iter().map(Resize::to_string).collect();
            (EntryKind::Action, format!("asked for what was before: {}; {} run", asked.join(", "), step.running), false)
        }
        (Ok(Decision::Done), _) => (EntryKind::Reached, format!("as it was before: {} wanted, {} run", step.wanted, step.running), true),
        (Ok(Decision::Wait(waiting)), _) => (EntryKind::Waiting, waiting.to_string(), false),
        // What one look misses may be a listing that lags; a dropped baseline never comes back. So it takes two.
        (Ok(Decision::Refuse(Refusal::NoService(_) | Refusal::NoGroup(_))), _) if step.said == NOT_FOUND => {
            (EntryKind::Action, gone.to_owned(), true)
        }
        (Ok(Decision::Refuse(Refusal::NoService(_) | Refusal::NoGroup(_))), _) => (EntryKind::Waiting, NOT_FOUND.to_owned(), false),
        (Ok(Decision::Refuse(refusal)), _) => (EntryKind::Refusal, refusal.to_string(), false),
    };
    step.said = said.clone();
    half.say(kind, about, said);
    half.open |= !freed;
    if freed {
        step.reached_at = Some(now);
        half.freed.push(Key::Baseline(judged.id.clone()));
    }
}

const NOT_FOUND: &str = "is not there any more; if the next look finds none either, its baseline is dropped";
