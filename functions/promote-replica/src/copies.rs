//! What a rehearsal reads of AWS and asks of it, for its two kinds of copies: instances, and clusters of Aurora's.

use relight::decide::Decision;
use relight::decide::promotion::{ClusterRehearsal, CopyMove, GivenUp, Rehearsal, RehearsalWait, rehearse, rehearse_cluster};
use relight::decide::rotation::compare::is_awaited;
use relight::nudge::View;
use relight::plan;
use relight::ports::{
    CallError, Cluster, ClusterCopies, ClusterCopyOf, CopyId, CopyOf, CopySnapshot, Database, GlobalCluster, GlobalClusters, GlobalId, Instance,
    ReplicaId, SnapshotOf, StandbyCluster,
};
use relight::run::Run;
use relight::state::{CopyStep, Endpoint};

/// What is asked of AWS in this turn, for one copy.
pub(crate) struct Ask<'a> {
    pub(crate) database: &'a plan::Database,
    pub(crate) copy: CopyId,
    pub(crate) what: What,
}

pub(crate) enum What {
    Create { security_groups: Vec<String> },
    Snapshot,
    Restore,
    AddInstance { class: String },
    Promote,
}

impl What {
    /// Whether there is something to remove after it that was not there before.
    pub(crate) fn makes(&self) -> bool {
        !matches!(self, What::Promote)
    }
}

/// What was seen of one database.
pub(crate) enum Look {
    Instance { replica: Option<Instance>, copy: Option<Instance>, snapshot: Option<CopySnapshot> },
    Cluster { global: Option<GlobalCluster>, secondary: Option<Cluster>, copy: Option<Cluster>, snapshot: Option<CopySnapshot> },
}

impl Look {
    /// Where the copy takes writes, once it does.
    pub(crate) fn endpoint(&self) -> Option<Endpoint> {
        match self {
            Look::Instance { copy, .. } => copy.as_ref()?.endpoint.clone(),
            Look::Cluster { copy, .. } => copy.as_ref()?.endpoint.clone(),
        }
    }

    /// Those of the replica.
    pub(crate) fn security_groups(&self) -> Vec<String> {
        match self {
            Look::Instance { replica, .. } => replica.as_ref().map(|replica| replica.security_groups.clone()).unwrap_or_default(),
            Look::Cluster { .. } => Vec::new(),
        }
    }
}

pub(crate) async fn look<D>(port: &D, view: &View, run: &Run, database: &plan::Database) -> Result<Look, CallError>
where
    D: Database + GlobalClusters + ClusterCopies,
{
    let step = view.snapshot.progress.promotion.copies.get(&database.name);
    let id = CopyId::of(&view.plan.name, &run.id, &database.name);
    match database.is_global() {
        true => look_at_cluster(port, view, database, step, &id).await,
        false => look_at_instance(port, database, step, &id).await,
    }
}

async fn look_at_instance<D: Database>(port: &D, database: &plan::Database, step: Option<&CopyStep>, id: &CopyId) -> Result<Look, CallError> {
    let replica = ReplicaId::of(database);
    let Some(step) = step else { return Ok(Look::Instance { replica: port.replica(&replica).await?, copy: None, snapshot: None }) };
    if step.requested_at.is_some() {
        return Ok(Look::Instance { replica: None, copy: port.copy(id).await?, snapshot: None });
    }
    let snapshot = async { if step.is_restored() { port.copy_snapshot(id).await } else { Ok(None) } };
    let (replica, copy, snapshot) = tokio::join!(port.replica(&replica), port.copy(id), snapshot);
    Ok(Look::Instance { replica: replica?, copy: copy?, snapshot: snapshot? })
}

/// The secondary until the copy has its instance, which is of its class; the global cluster until the snapshot is asked for.
async fn look_at_cluster<D: GlobalClusters + ClusterCopies>(
    port: &D,
    view: &View,
    database: &plan::Database,
    step: Option<&CopyStep>,
    id: &CopyId,
) -> Result<Look, CallError> {
    let copy = if step.is_some() { port.cluster_copy(id).await? } else { None };
    if copy.as_ref().is_some_and(|copy| !copy.instances.is_empty()) {
        return Ok(Look::Cluster { global: None, secondary: None, copy, snapshot: None });
    }
    let requested = step.is_some_and(|step| step.requested_at.is_some());
    let standby = StandbyCluster::of(&view.plan, database);
    let name = GlobalId::of(&view.plan, database);
    let global = async { if requested { Ok(None) } else { port.global_cluster(&name).await } };
    let snapshot = async { if requested || step.is_none() { Ok(None) } else { port.cluster_snapshot(id).await } };
    let (global, secondary, snapshot) = tokio::join!(global, port.cluster(&standby), snapshot);
    Ok(Look::Cluster { global: global?, secondary: secondary?, copy, snapshot: snapshot? })
}

pub(crate) fn decided(view: &View, run: &Run, database: &plan::Database, step: &CopyStep, look: &Look) -> Decision<CopyMove, RehearsalWait, GivenUp> {
    let (plan, now) = (&view.plan, view.now);
    match look {
        Look::Instance { replica, copy, snapshot } => {
            let comparing = is_awaited(plan, &view.snapshot, run, database, now);
            let (replica, copy) = (replica.as_ref(), copy.as_ref());
            rehearse(&Rehearsal { plan, run, database, step, replica, copy, snapshot: *snapshot, comparing, now })
        }
        Look::Cluster { global, secondary, copy, snapshot } => {
            let (global, secondary, copy) = (global.as_ref(), secondary.as_ref(), copy.as_ref());
            rehearse_cluster(&ClusterRehearsal { plan, run, database, step, global, secondary, copy, snapshot: *snapshot, now })
        }
    }
}

pub(crate) async fn act<'a, D: Database + ClusterCopies>(port: &D, view: &View, run: &Run, ask: Ask<'a>) -> (Ask<'a>, Result<(), CallError>) {
    let answer = match ask.database.is_global() {
        true => act_on_cluster(port, view, run, &ask).await,
        false => act_on_instance(port, view, run, &ask).await,
    };
    (ask, answer)
}

async fn act_on_instance<D: Database>(port: &D, view: &View, run: &Run, Ask { database, copy, what }: &Ask<'_>) -> Result<(), CallError> {
    let source = &ReplicaId::of(database);
    let (plan, run) = (view.plan.name.as_str(), &run.id);
    match what {
        What::Create { security_groups } => port.create_copy(copy, &CopyOf { source, security_groups, plan, run }).await,
        What::Snapshot => port.snapshot_for_copy(copy, &SnapshotOf { source, plan, run }).await,
        What::Restore => port.restore_copy(copy, &SnapshotOf { source, plan, run }).await,
        What::Promote => port.promote_copy(copy).await,
        // An instance has none.
        What::AddInstance { .. } => Ok(()),
    }
}

async fn act_on_cluster<D: ClusterCopies>(port: &D, view: &View, run: &Run, Ask { database, copy, what }: &Ask<'_>) -> Result<(), CallError> {
    let of = ClusterCopyOf { source: &StandbyCluster::of(&view.plan, database), plan: &view.plan.name, run: &run.id };
    match what {
        What::Snapshot => port.snapshot_cluster(copy, &of).await,
        What::Restore => port.restore_cluster(copy, &of).await,
        What::AddInstance { class } => port.add_copy_instance(copy, class, &of).await,
        // A cluster replicates nothing that could be promoted.
        What::Create { .. } | What::Promote => Ok(()),
    }
}
