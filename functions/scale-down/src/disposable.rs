//! The disposable copies and secrets of drills. They never sleep: nobody needs them, whoever serves.

use futures_util::future::join_all;
use relight::decide::capacity;
use relight::nudge::View;
use relight::plan;
use relight::ports::{CallError, ClusterCopies, CopyId, Database, DisposableName, EntryKind, Removal, Secrets};
use relight::run::Mode;
use relight::state::{Key, Obligation, Owed};

use crate::{Half, ScaleDown};

/// What may be removed: only names that a drill gives.
enum Disposable {
    Copy(CopyId),
    Cluster(CopyId),
    Secret(DisposableName),
}

impl Disposable {
    /// What is owed, else why it is not removed.
    fn owed(plan: &str, owed: &Obligation) -> Result<Disposable, String> {
        let disposable = match &owed.what {
            Owed::Copy { instance } => CopyId::named(instance).map(Disposable::Copy),
            Owed::Cluster { cluster } => CopyId::named(cluster).map(Disposable::Cluster),
            Owed::Secret { name } => DisposableName::named(plan, name).map(Disposable::Secret),
            Owed::Capacity => None,
            Owed::Unread { why, .. } => return Err(why.clone()),
        };
        disposable.ok_or_else(|| "no drill gives such a name: nothing is removed; take the item out of the journal by hand".to_owned())
    }

    fn about(&self) -> String {
        match self {
            Disposable::Copy(copy) => format!("copy/{copy}"),
            Disposable::Cluster(copy) => format!("cluster/{copy}"),
            Disposable::Secret(secret) => format!("secret/{}", secret.as_str()),
        }
    }
}

impl<C, D: Database + ClusterCopies, S: Secrets> ScaleDown<C, D, S> {
    /// Removes what is owed; when nothing is, what a drill made and the journal lost.
    pub(crate) async fn disposable(&self, view: &View) -> Half {
        let due = capacity::disposable(&view.snapshot, view.now);
        if due.is_empty() {
            return if sweeps(view) { self.sweep(view).await } else { Half::default() };
        }
        let mut half = Half { open: true, ..Half::default() };
        let removed = join_all(due.into_iter().map(async |owed| match Disposable::owed(&view.plan.name, owed) {
            Err(why) => (owed, Err(why)),
            Ok(disposable) => (owed, Ok(self.remove(&disposable).await)),
        }));
        for (owed, removed) in removed.await {
            let about = owed.id();
            match removed {
                Err(why) => half.say(EntryKind::Refusal, &about, why),
                Ok(Ok(Removal::Gone)) => {
                    half.say(EntryKind::Reached, &about, "the disposable thing is gone");
                    half.freed.push(Key::Obligation(about));
                }
                Ok(removed) => say_underway(&mut half, &about, removed),
            }
        }
        half
    }

    /// What carries the drill's tag and nobody owes. The journal names a copy before it is made, so this finds something
    /// only after the journal itself was lost, or when a call of promote-replica was still under way. In peace a drill that
    /// opens in this very moment has made nothing that the list could hold.
    async fn sweep(&self, view: &View) -> Half {
        let plan = &view.plan.name;
        let mut half = Half::default();
        // Of clusters the role may know nothing where the plan has none, and no drill of it makes any.
        let has_clusters = view.plan.databases.iter().any(plan::Database::is_global);
        let clusters = async { if has_clusters { self.database.cluster_copies(plan).await } else { Ok(Vec::new()) } };
        let (copies, clusters, secrets) = tokio::join!(self.database.copies(plan), clusters, self.secrets.disposables(plan));
        let mut found = Vec::new();
        match copies {
            Ok(copies) => found.extend(copies.into_iter().map(Disposable::Copy)),
            Err(error) => unlisted(&mut half, "copies", &error),
        }
        match clusters {
            Ok(clusters) => found.extend(clusters.into_iter().map(Disposable::Cluster)),
            Err(error) => unlisted(&mut half, "clusters", &error),
        }
        match secrets {
            Ok(secrets) => found.extend(secrets.into_iter().map(Disposable::Secret)),
            Err(error) => unlisted(&mut half, "secrets", &error),
        }
        // What is owed goes when it is due: a drill that became a failover is still followed.
        found.retain(|disposable| !view.snapshot.obligations.contains_key(&disposable.about()));
        let removed = join_all(found.iter().map(async |disposable| (disposable.about(), self.remove(disposable).await)));
        for (about, removed) in removed.await {
            half.open = true;
            match removed {
                Ok(Removal::Gone) => half.say(EntryKind::Reached, &about, "a drill left it and the journal did not name it: it is gone"),
                // Once it is gone it is not listed any more.
                Ok(Removal::Underway) => half.say(EntryKind::Waiting, &about, "a drill left it and the journal did not name it: it is being removed"),
                removed => say_underway(&mut half, &about, removed),
            }
        }
        half.swept = !half.open;
        half
    }

    async fn remove(&self, disposable: &Disposable) -> Result<Removal, CallError> {
        match disposable {
            Disposable::Copy(copy) => self.database.remove_copy(copy).await,
            Disposable::Cluster(copy) => self.database.remove_cluster_copy(copy).await,
            Disposable::Secret(secret) => self.secrets.remove_disposable(secret).await,
        }
    }
}

/// A drill looks for what it lost before it says that all is as before, also when it became a failover and stood down.
fn sweeps(view: &View) -> bool {
    let drilled = view.run().is_some_and(|run| run.mode == Mode::Drill || run.was_drill);
    (drilled && capacity::is_undone(&view.snapshot)) || capacity::sweep_due(&view.snapshot, view.now)
}

fn unlisted(half: &mut Half, what: &str, error: &CallError) {
    half.open = true;
    half.say(EntryKind::Failure, what, error.to_string());
}

fn say_underway(half: &mut Half, about: &str, removed: Result<Removal, CallError>) {
    match removed {
        Ok(Removal::Underway | Removal::Gone) => half.say(EntryKind::Waiting, about, "it is being removed"),
        Err(error) => half.say(EntryKind::Failure, about, error.to_string()),
    }
}
