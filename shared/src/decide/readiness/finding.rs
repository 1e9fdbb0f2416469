//! What is wrong, how badly, and what to do: each a type with its sentences.

mod cluster;

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Silence;
use crate::advance::Blocked;
use crate::decide::lag::LagVerdict;
use crate::decide::promotion::{Busy, ClearanceRefusal, NotCopied};
use crate::look::PATIENCE;
use crate::plan::Bounds;
use crate::plan::stack::NoArn;
use crate::ports::{CallError, GroupName, Quota, ServiceName, Setback, Topic, Why};
use crate::state::Owed;

pub use cluster::ClusterFinding;

/// How much it matters. What stops a failover comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A failover would stop, or lose what the plan does not allow.
    Blocking,
    /// It would work, but slower, or unseen, or not for much longer.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Blocking => "blocking",
            Severity::Warning => "warning",
        })
    }
}

/// Why something could not be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    Denied,
    /// Throttled, or without an answer: the next look may tell.
    Passing,
    Other,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    // What the plan names.
    NoService { service: ServiceName },
    NoScalableTarget { service: ServiceName },
    UnplannedTarget { service: ServiceName, bounds: Bounds },
    NoProvider { service: ServiceName, provider: String },
    DeploymentFailed { service: ServiceName, why: String },
    NotPlaced { service: ServiceName, setback: Setback },
    NoGroup { group: GroupName },
    NoMixedInstances { group: GroupName },
    Suspended { group: GroupName, processes: BTreeSet<String> },
    NotLaunched { group: GroupName, setback: Setback },
    NoReplica { replica: String, primary: String },
    OtherEngine { replica: String, engine: String, planned: &'static str },
    NoHeartbeat { database: String, planned: &'static str },
    NoProxy { proxy: String },
    ProxyElsewhere { proxy: String, target: String },
    ProxyNotAvailable { proxy: String, status: String },
    NoSecret { secret: String },
    NotReplicated { secret: String, of: Option<String>, primary: String, standby: String },
    NoCurrentVersion { secret: String },
    NoBucket { bucket: String },
    OpenBucket { bucket: String },
    StopUnseen { bucket: String, why: String },
    // The databases.
    NotPromotable { database: String, replica: String, why: ClearanceRefusal },
    NotReplicating { replica: String, status: String },
    Busy(Busy),
    LossAccepted { database: String, lag: LagVerdict },
    RehearsedByRestore { database: String, replica: String, why: NotCopied },
    ClassPending { replica: String, class: String },
    QuotaSpent(Quota),
    // Of an Aurora global database.
    Cluster(ClusterFinding),
    // Logins.
    NoLogin { secret: String },
    OldLogin { secret: String, at: Timestamp },
    LoginFailed { secret: String, said: String },
    NoBeat { database: String, said: String },
    // Traffic.
    StopLies { bucket: String, key: String },
    NoName { name: String, why: String },
    UsersAtStandby { record: String },
    // Who watches, who hears.
    Silent { observer: String, last: Option<Timestamp>, reason: String, enough: bool },
    SeesDown { observer: String, reason: String },
    NotSubscribed { function: String, topic: Topic },
    NobodyListens { pending: usize, approval: bool },
    // The stack.
    NoArn(NoArn),
    OutsideStack { resource: String, parameter: &'static str, arn: String },
    OtherStop { bucket: String, key: String, stack: String },
    NotLooked(Silence),
    Unreadable { what: String, operation: String, why: String, unread: Unread },
    // The journal.
    OnlyObserves,
    Held { by: String, until: Timestamp },
    Vetoed(Blocked),
    Overdue { what: Owed, deadline: Timestamp },
    NeverDrilled,
    DrilledLongAgo { at: Timestamp, days: i64 },
    TooSlow { seconds: f64, objective: f64 },
}

impl Finding {
    pub(super) fn unreadable(what: String, error: &CallError) -> Finding {
        let unread = match &error.why {
            Why::Denied(_) => Unread::Denied,
            _ if error.passes() => Unread::Passing,
            _ => Unread::Other,
        };
        let why = match &error.why {
            Why::Denied(said) => said.clone(),
            other => other.to_string(),
        };
        Finding::Unreadable { what, operation: error.operation.to_string(), why, unread }
    }

    pub(super) fn stop_unseen(bucket: String, why: String) -> Finding {
        Finding::StopUnseen { bucket, why }
    }

    /// What a denied read was about.
    pub(super) fn denied(&self) -> Option<&str> {
        match self {
            Finding::Unreadable { what, unread: Unread::Denied, .. } => Some(what),
            _ => None,
        }
    }

    pub fn severity(&self) -> Severity {
        match self {
            Finding::Cluster(found) => found.severity(),
            Finding::UnplannedTarget { .. }
            | Finding::NotReplicated { .. }
            | Finding::OpenBucket { .. }
            | Finding::StopUnseen { .. }
            | Finding::Busy(_)
            | Finding::LossAccepted { .. }
            | Finding::RehearsedByRestore { .. }
            | Finding::ClassPending { .. }
            | Finding::QuotaSpent(_)
            | Finding::NoLogin { .. }
            | Finding::OldLogin { .. }
            | Finding::NoBeat { .. }
            | Finding::NoHeartbeat { .. }
            | Finding::UsersAtStandby { .. }
            | Finding::Silent { enough: true, .. }
            | Finding::SeesDown { .. }
            | Finding::NotSubscribed { .. }
            | Finding::NobodyListens { approval: false, .. }
            | Finding::Unreadable { unread: Unread::Passing, .. }
            | Finding::Overdue { .. }
            | Finding::NeverDrilled
            | Finding::DrilledLongAgo { .. }
            | Finding::TooSlow { .. } => Severity::Warning,
            _ => Severity::Blocking,
        }
    }

    /// Whether the plan names what the standby does not have: such a plan is not put in force.
    pub fn is_about_what_is_not_there(&self) -> bool {
        if let Finding::Cluster(found) = self {
            return found.is_about_what_is_not_there();
        }
        matches!(
            self,
            Finding::NoService { .. }
                | Finding::NoScalableTarget { .. }
                | Finding::NoProvider { .. }
                | Finding::NoGroup { .. }
                | Finding::NoMixedInstances { .. }
                | Finding::NoReplica { .. }
                | Finding::NoProxy { .. }
                | Finding::NoSecret { .. }
                | Finding::NoBucket { .. }
        )
    }

    /// What it is about, `service/shop/web`.
    pub fn about(&self) -> String {
        use Finding as F;
        match self {
            F::NoService { service }
            | F::NoScalableTarget { service }
            | F::UnplannedTarget { service, .. }
            | F::NoProvider { service, .. }
            | F::DeploymentFailed { service, .. }
            | F::NotPlaced { service, .. } => format!("service/{service}"),
            F::NoGroup { group } | F::NoMixedInstances { group } | F::Suspended { group, .. } | F::NotLaunched { group, .. } => {
                format!("group/{group}")
            }
            F::NoReplica { replica, .. } | F::OtherEngine { replica, .. } | F::NotReplicating { replica, .. } | F::ClassPending { replica, .. } => {
                format!("replica/{replica}")
            }
            F::NoHeartbeat { database, .. } => format!("database/{database}"),
            F::NoProxy { proxy } | F::ProxyElsewhere { proxy, .. } | F::ProxyNotAvailable { proxy, .. } => format!("proxy/{proxy}"),
            F::QuotaSpent(quota) => format!("quota/{}", quota.name),
            F::Cluster(found) => found.about(),
            F::NoBeat { database, .. } => format!("database/{database}"),
            F::Busy(busy) => format!("replica/{}", busy.instance),
            F::NotPromotable { database, .. } | F::LossAccepted { database, .. } | F::RehearsedByRestore { database, .. } => {
                format!("database/{database}")
            }
            F::NoSecret { secret }
            | F::NotReplicated { secret, .. }
            | F::NoCurrentVersion { secret }
            | F::NoLogin { secret }
            | F::OldLogin { secret, .. }
            | F::LoginFailed { secret, .. } => format!("secret/{secret}"),
            F::NoBucket { .. } | F::OpenBucket { .. } | F::StopUnseen { .. } | F::StopLies { .. } | F::OtherStop { .. } => "STOP".to_owned(),
            F::NoName { name, .. } => format!("traffic/{name}"),
            F::UsersAtStandby { record } => format!("traffic/{record}"),
            F::Silent { observer, .. } | F::SeesDown { observer, .. } => format!("observer/{observer}"),
            F::NotSubscribed { topic, .. } => topic.to_string(),
            F::NobodyListens { .. } => Topic::People.to_string(),
            F::OutsideStack { resource, .. } => resource.clone(),
            F::NotLooked(silence) => silence.function.to_owned(),
            F::Unreadable { what, .. } => what.clone(),
            F::OnlyObserves | F::NoArn(_) => "plan".to_owned(),
            F::Held { .. } | F::Vetoed(_) => "run".to_owned(),
            F::Overdue { what, .. } => what.id(),
            F::NeverDrilled | F::DrilledLongAgo { .. } | F::TooSlow { .. } => "drill".to_owned(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Finding as F;
        match self {
            F::NoService { service } => write!(f, "the standby Region has no ECS service {service}"),
            F::NoScalableTarget { service } => write!(f, "{service} has no scalable target, the plan gives it bounds"),
            F::UnplannedTarget { service, bounds } => {
                write!(f, "Auto Scaling keeps {service} within {} to {}, of which the plan says nothing", bounds.min, bounds.max)
            }
            F::NoProvider { service, provider } => write!(f, "the cluster of {service} has no capacity provider {provider}"),
            F::DeploymentFailed { service, why } => write!(f, "the deployment of {service} failed, and ECS launches nothing more: {why}"),
            F::NotPlaced { service, setback } => write!(f, "the last task of {service} found no place, at {}: {}", setback.at, setback.said),
            F::NoGroup { group } => write!(f, "the standby Region has no Auto Scaling group {group}"),
            F::NoMixedInstances { group } => write!(f, "{group} has no mixed instances policy, the plan says how much of it is On-Demand"),
            F::Suspended { group, processes } => write!(f, "{group} has suspended {}", join(processes)),
            F::NotLaunched { group, setback } => write!(f, "the last launch of {group} failed, at {}: {}", setback.at, setback.said),
            F::NoReplica { replica, .. } => write!(f, "the standby Region has no instance {replica}"),
            F::NoHeartbeat { planned, .. } => {
                write!(
                    f,
                    "nothing tells how far the replica is behind: ReplicaLag of {planned} counts what has arrived, and nothing that is still on its way"
                )
            }
            F::OtherEngine { replica, engine, planned } => write!(f, "{replica} is {engine}, and the plan says {planned}"),
            F::NoProxy { proxy } => write!(f, "the standby Region has no RDS Proxy {proxy}"),
            F::ProxyElsewhere { proxy, target } => {
                write!(f, "the proxy {proxy} has the target {target} and takes no other: users would not reach the promoted database")
            }
            F::ProxyNotAvailable { proxy, status } => write!(f, "the proxy {proxy} is {status}: users would wait for it"),
            F::NoSecret { secret } => write!(f, "the standby Region has no secret {secret}"),
            F::NotReplicated { secret, of: None, .. } => {
                write!(f, "{secret} stands alone: a password that changes in the primary Region does not arrive")
            }
            F::NotReplicated { secret, of: Some(of), primary, .. } => write!(f, "{secret} is a copy from {of}, the primary Region is {primary}"),
            F::NoCurrentVersion { secret } => write!(f, "{secret} has no version under AWSCURRENT"),
            F::NoBucket { bucket } => write!(f, "there is no bucket {bucket} for the STOP object"),
            F::OpenBucket { bucket } => write!(f, "a stranger may list {bucket}, which is to be public for its one key alone"),
            F::StopUnseen { bucket, why } => write!(f, "nobody could ask {bucket} for the STOP object as Route 53's checkers do: {why}"),
            F::NotPromotable { database, why, .. } => write!(f, "the promotion of {database} would be refused: {}", refused(why)),
            F::NotReplicating { replica, status } => write!(f, "the replication of {replica} is in state `{status}`"),
            F::Busy(busy) => write!(f, "a promotion would wait: {busy}"),
            F::LossAccepted { database, lag } => write!(f, "{database} would be promoted although {lag}"),
            F::RehearsedByRestore { database, why, .. } => write!(
                f,
                "a drill restores the copy of {database} from a snapshot, which takes longer, costs the snapshot's storage and shows no promotion: {why}"
            ),
            F::ClassPending { replica, class } => write!(f, "{replica} is to become a {class} in its maintenance window, which restarts it"),
            F::QuotaSpent(Quota { name, used, max }) => {
                write!(f, "of RDS's quota {name} nothing is left, {used} of {max} are used: a drill's copy of a replica finds no room")
            }
            F::Cluster(found) => found.fmt(f),
            F::NoLogin { secret } => write!(f, "nobody has logged in with {secret} yet"),
            F::OldLogin { secret, at } => write!(f, "the last login with {secret} was at {at}, they are made each half hour"),
            F::NoBeat { database, said } => write!(f, "the heartbeat of {database} does not arrive: {}", head(said)),
            F::LoginFailed { secret, said } => write!(f, "the last login with {secret} failed: {}", head(said)),
            F::StopLies { bucket, key } => write!(f, "s3://{bucket}/{key} is in place and keeps users off a primary that serves"),
            F::NoName { name, why } => write!(f, "{name} does not resolve: {why}"),
            F::UsersAtStandby { record } => write!(f, "{record} answers the standby, where nothing can be written"),
            F::Silent { observer, last, reason, .. } => match last {
                Some(last) => write!(f, "{observer} has not been heard since {last}: {reason}"),
                None => write!(f, "{observer} was never heard"),
            },
            F::SeesDown { observer, reason } => write!(f, "{observer} sees the primary down: {reason}"),
            F::NotSubscribed { function, topic } => write!(f, "{function} is not subscribed to the {topic}"),
            F::NobodyListens { pending: 0, .. } => f.write_str("nobody subscribes to the people topic: a failover would be told to no one"),
            F::NobodyListens { pending, .. } => {
                write!(f, "no subscription of the people topic is confirmed, {pending} wait(s): a failover would be told to no one")
            }
            F::NoArn(NoArn { what, name, character }) => {
                write!(f, "{what} `{name}` cannot stand in a policy: `{character}` means something else there")
            }
            F::OutsideStack { resource, .. } => write!(f, "the control stack was not deployed for {resource}: its roles may not touch it"),
            F::OtherStop { bucket, key, stack } => {
                write!(f, "the plan's STOP is s3://{bucket}/{key}, the control stack's roles reach s3://{stack}/STOP")
            }
            F::NotLooked(Silence { function, unread: None }) => {
                write!(
                    f,
                    "{function} was asked to look and gave no answer within {:#}: neither its notice nor its tick wakes it, or it fails",
                    PATIENCE
                )
            }
            F::NotLooked(Silence { function, unread: Some(why) }) => write!(f, "what {function} saw cannot be read by this version: {why}"),
            F::Unreadable { what, operation, why, .. } => write!(f, "{what} could not be looked at: {operation}: {why}"),
            F::OnlyObserves => f.write_str("the plan only observes: nothing would be done"),
            F::Held { by, until } => write!(f, "{by} holds every step that cannot be undone until {until}"),
            F::Vetoed(why) => write!(f, "the point of no return would not be passed: {why}"),
            F::Overdue { deadline, .. } => write!(f, "it was to be given back by {deadline}"),
            F::NeverDrilled => f.write_str("no drill was good yet: that a failover works is a hope"),
            F::DrilledLongAgo { at, days } => write!(f, "the last good drill is {days} days ago, at {at}"),
            F::TooSlow { seconds, objective } => write!(f, "the last drill and the dwell take {seconds:.0} s, the objective is {objective:.0} s"),
        }
    }
}

impl Finding {
    /// What to do about it.
    pub fn remedy(&self) -> String {
        use Finding as F;
        match self {
            F::NoService { service } => format!("deploy {service} in the standby Region, or take it out of the plan"),
            F::NoScalableTarget { .. } => "register a scalable target, or take `scaling` out of the plan".to_owned(),
            F::UnplannedTarget { .. } => "give the plan the bounds as `scaling`, or deregister the target".to_owned(),
            F::NoProvider { service, provider } => {
                let cluster = &service.cluster;
                format!(
                    "associate {provider} with the cluster: `aws ecs put-cluster-capacity-providers --cluster {cluster}` (it replaces the whole list), or name another in the plan"
                )
            }
            F::DeploymentFailed { .. } => "deploy a revision that starts".to_owned(),
            F::NotPlaced { .. } => {
                "see that one more task finds a place: raise the count by one and back; where capacity lacks, another provider or size".to_owned()
            }
            F::NoGroup { group } => format!("create {group} in the standby Region, or take it out of the plan"),
            F::NoMixedInstances { .. } => {
                "give the group a mixed instances policy over its launch template, or take `instances` out of the plan".to_owned()
            }
            F::Suspended { group, processes } => {
                format!("`aws autoscaling resume-processes --auto-scaling-group-name {group} --scaling-processes {}`", join(processes))
            }
            F::NotLaunched { .. } => {
                "mend what it names (launch template, image, quota), and see one launch succeed: raise the desired size by one and back".to_owned()
            }
            F::NoReplica { replica, primary } => {
                format!("create {replica} as a cross-Region replica of {primary}, with security groups and backups, or correct the plan")
            }
            F::NoHeartbeat { .. } => {
                "give the plan's database a `heartbeat`: a row each minute, by which the replica says how far it came".to_owned()
            }
            F::OtherEngine { .. } => "correct `engine` in the plan: rules and logins are the engine's".to_owned(),
            F::NoProxy { proxy } => format!("create {proxy} in the standby Region, without a target, or take `proxy` out of the plan"),
            F::ProxyElsewhere { proxy, target } => {
                format!("`aws rds deregister-db-proxy-targets --db-proxy-name {proxy} --db-instance-identifiers {target}`, or name another proxy")
            }
            F::ProxyNotAvailable { .. } => "wait for it where it is being made or changed; else look at its subnets, role and secrets".to_owned(),
            F::NoSecret { secret } => {
                format!("replicate {secret} from the primary Region: `aws secretsmanager replicate-secret-to-regions`, or correct the plan")
            }
            F::NotReplicated { secret, primary, standby, .. } => format!(
                "`aws secretsmanager replicate-secret-to-regions --region {primary} --secret-id {secret} --add-replica-regions Region={standby} --force-overwrite-replica-secret`"
            ),
            F::NoCurrentVersion { secret } => format!("put the login that works into {secret} in the primary Region; the copy follows"),
            F::NoBucket { .. } => "put the control stack's output StopBucketName into the plan, or deploy the stack again".to_owned(),
            F::OpenBucket { .. } => "deploy the control stack again: its policy lets strangers read the one key and list nothing".to_owned(),
            F::StopUnseen { .. } => "look at the function's way to S3, then ask again; Route 53's checkers go their own way".to_owned(),
            F::NotPromotable { replica, why, .. } => promotable_again(replica, why),
            F::NotReplicating { replica, .. } => {
                format!(
                    "read the message of the state (`aws rds describe-db-instances --db-instance-identifier {replica}`) and mend it; a replication that stays broken for 30 days is ended"
                )
            }
            F::Busy(_) => "wait for it; a backup window that meets the drill's hour is better moved".to_owned(),
            F::LossAccepted { .. } => {
                "see that ReplicaLag is published again; until then the plan's `unknown_lag = \"accept\"` takes the risk".to_owned()
            }
            F::RehearsedByRestore { replica, why, .. } => promoted_in_drills(replica, why),
            F::ClassPending { replica, .. } => {
                format!("let it happen now, in peace: `aws rds modify-db-instance --db-instance-identifier {replica} --apply-immediately`")
            }
            F::QuotaSpent(quota) => format!(
                "remove what nobody needs, or ask for more in the standby Region: `aws service-quotas list-service-quotas --service-code rds` has the code of {}, \
                 `aws service-quotas request-service-quota-increase` takes it",
                quota.name
            ),
            F::Cluster(found) => found.remedy(),
            F::NoLogin { .. } | F::OldLogin { .. } => "read rotate-secret's log: it logs in by its tick while no run is open".to_owned(),
            F::LoginFailed { said, .. } | F::NoBeat { said, .. } => tail(said).to_owned(),
            F::StopLies { bucket, key } => {
                format!("read switch-traffic's log, whose tick removes it; by hand: `aws s3 rm s3://{bucket}/{key}`")
            }
            F::NoName { .. } => "make the record in Route 53, or correct the plan".to_owned(),
            F::UsersAtStandby { .. } => "look at the primary's health check and its record: Route 53 takes the primary for ill".to_owned(),
            F::Silent { enough, .. } => {
                let so =
                    if *enough { "the others are still enough for a quorum" } else { "without it no quorum is reached when the primary is dark" };
                format!("read watch-primary's log; {so}")
            }
            F::SeesDown { .. } => "look at the primary with your own eyes; one observer alone opens no run in the cool-down".to_owned(),
            F::NotSubscribed { .. } => "deploy the control stack again; until then that function is woken by its tick".to_owned(),
            F::NobodyListens { pending, .. } if *pending > 0 => "answer the confirmation that SNS sent, or subscribe again".to_owned(),
            F::NobodyListens { .. } => {
                "subscribe whoever is on call: the stack's parameter NotificationEmail, or its output PeopleTopicArn".to_owned()
            }
            F::NoArn(_) => "rename it, or correct the plan".to_owned(),
            F::OutsideStack { parameter, arn, .. } => {
                format!("deploy infra/control again with {arn} in {parameter}: `relight stack parameters` makes the parameters from the plan")
            }
            F::OtherStop { stack, .. } => format!("put `stop_bucket = \"{stack}\"` into the plan and leave `stop_key` out"),
            F::NotLooked(Silence { function, unread: None }) => {
                format!("read the log of {function}, and invoke it with events/tick.json; a failover needs it as this look did")
            }
            F::NotLooked(Silence { unread: Some(_), .. }) => {
                "let the deployment end, or deploy all functions of one version; then ask again: `readiness`".to_owned()
            }
            // A policy names a secret with the characters that AWS adds; one that is not there has none, and is denied.
            F::Unreadable { unread: Unread::Denied, operation, .. } if operation == "secretsmanager:DescribeSecret" => format!(
                "of a secret that is not there AWS says the same: replicate it from the primary Region, `aws secretsmanager replicate-secret-to-regions`; \
                 where it is there, give rotate-secret's role {operation} on it: deploy infra/control again with its ARN in SecretArns"
            ),
            F::Unreadable { unread: Unread::Denied, operation, .. } => {
                format!("give {}'s role {operation} on it: deploy infra/control again with its ARN in the parameters", who_asks(operation))
            }
            F::Unreadable { unread: Unread::Passing, .. } => "ask again: `readiness`".to_owned(),
            F::Unreadable { unread: Unread::Other, .. } => "mend what the sentence names, then ask again: `readiness`".to_owned(),
            F::OnlyObserves => "put the plan with policy.mode = \"act\"".to_owned(),
            F::Held { .. } => "`release` ends it".to_owned(),
            F::Vetoed(_) => "the sentence says what leads on".to_owned(),
            F::Overdue { .. } => "read scale-down's log; docs/runbook.md has the alarm PLAN-relight-obligation".to_owned(),
            F::NeverDrilled => "start one: `drill`".to_owned(),
            F::DrilledLongAgo { .. } => "read the last report, mend what it names, and start one: `drill`".to_owned(),
            F::TooSlow { .. } => "keep more running in the standby, shorten policy.dwell, or say a longer objectives.rto".to_owned(),
        }
    }
}

/// Whose role a denied read was asked with.
fn who_asks(operation: &str) -> &'static str {
    match operation.split(':').next().unwrap_or_default() {
        "ecs" | "autoscaling" | "application-autoscaling" => "scale-up",
        "rds" | "cloudwatch" => "promote-replica",
        "secretsmanager" => "rotate-secret",
        "s3" => "switch-traffic",
        _ => "monthly-drill",
    }
}

/// The reason without what only an open run can say about it.
fn refused(why: &ClearanceRefusal) -> String {
    match why {
        ClearanceRefusal::NoReplica { replica } => format!("there is no instance {replica}"),
        ClearanceRefusal::NotAReplica { replica } => format!("{replica} replicates nothing"),
        ClearanceRefusal::Broken { replica, status } => format!("{replica} is {status}, which does not pass by itself"),
        ClearanceRefusal::BeyondRpo(lag) | ClearanceRefusal::UnknownLag(lag) => lag.to_string(),
        ClearanceRefusal::ReplicationEnded { replica, status } => format!("the replication of {replica} is {status}"),
    }
}

fn promotable_again(replica: &str, why: &ClearanceRefusal) -> String {
    match why {
        ClearanceRefusal::NoReplica { .. } | ClearanceRefusal::NotAReplica { .. } => {
            format!("create {replica} again as a replica of the primary's instance; what it holds now is a database of its own")
        }
        ClearanceRefusal::Broken { .. } => {
            format!("read its events and mend it: `aws rds describe-events --source-type db-instance --source-identifier {replica}`")
        }
        ClearanceRefusal::BeyondRpo(_) => {
            "let the replica catch up (a larger class, fewer writes, no long queries on it), or say a longer objectives.rpo".to_owned()
        }
        ClearanceRefusal::UnknownLag(_) => {
            "look at AWS/RDS ReplicaLag of the replica: it is not published, or its replication is not active".to_owned()
        }
        ClearanceRefusal::ReplicationEnded { .. } => format!("create {replica} again: RDS does not take up a replication that has ended"),
    }
}

/// How a drill comes to promote a replica of the replica.
fn promoted_in_drills(replica: &str, why: &NotCopied) -> String {
    match why {
        NotCopied::NoBackups { .. } => {
            format!("`aws rds modify-db-instance --db-instance-identifier {replica} --backup-retention-period 1 --apply-immediately`")
        }
        NotCopied::EngineTooOld { .. } => "upgrade to PostgreSQL 14.1 or later, the replica before its source".to_owned(),
    }
}

fn join(processes: &BTreeSet<String>) -> String {
    processes.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// An error's sentence up to its remedy, which stands behind the last semicolon.
fn head(said: &str) -> &str {
    said.rsplit_once("; ").map_or(said, |(head, _)| head)
}

fn tail(said: &str) -> &str {
    said.rsplit_once("; ").map_or("log in by hand with the same host and user, and mend what it meets", |(_, tail)| tail)
}
