//! Looking at a stage: its journal, its workload, the whole of its state to compare before and after.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use relight::aws::Aws;
use relight::aws::journal::DynamoJournal;
use relight::ports::{Entry, Journal};
use relight::run::RunId;
use relight::state::Snapshot;
use serde_json::{Value, json};

use crate::stage::Stage;
use crate::workload::{Workload, output};
use crate::{Error, PRIMARY, STANDBY};

/// Looks every 200 ms until `look` answers, or says what it saw last.
pub async fn until<T>(what: &str, within: Duration, mut look: impl AsyncFnMut() -> Result<T, String>) -> Result<T, Error> {
    let began = Instant::now();
    loop {
        match look().await {
            Ok(found) => return Ok(found),
            Err(last) if began.elapsed() > within => return Err(Error::Never { what: what.to_owned(), seconds: within.as_secs(), last }),
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

impl Stage {
    /// The journal, read as root: it is not the functions' role that looks.
    pub fn journal(&self) -> Result<DynamoJournal, Error> {
        self.journal_of(&self.workload)
    }

    fn journal_of(&self, workload: &Workload) -> Result<DynamoJournal, Error> {
        let aws = Aws::from_config(crate::aws::config(self.router.url(), STANDBY));
        Ok(DynamoJournal::new(&aws, output(&workload.control, "JournalTable")?, workload.name.clone()))
    }

    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        self.snapshot_of(&self.workload).await
    }

    pub async fn snapshot_of(&self, workload: &Workload) -> Result<Snapshot, Error> {
        self.journal_of(workload)?.read().await.map_err(Error::part("reading the journal"))
    }

    pub async fn history(&self, run: &RunId) -> Result<Vec<Entry>, Error> {
        self.journal()?.history(run).await.map_err(Error::part("reading the journal"))
    }

    /// An object of the report bucket.
    pub async fn report(&self, key: &str) -> Result<String, Error> {
        let bucket = output(&self.workload.control, "ReportsBucket")?;
        let object = self.clients(STANDBY).s3.get_object().bucket(bucket).key(key).send().await.map_err(Error::part("reading the report"))?;
        let bytes = object.body.collect().await.map_err(Error::part("reading the report"))?.into_bytes();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether the STOP object holds the primary out of traffic.
    pub async fn is_stopped(&self) -> Result<bool, Error> {
        self.is_stopped_of(&self.workload).await
    }

    async fn is_stopped_of(&self, workload: &Workload) -> Result<bool, Error> {
        let stop = self.clients(STANDBY).s3.head_object().bucket(&workload.plan.traffic.stop_bucket).key(&workload.plan.traffic.stop_key);
        Ok(stop.send().await.is_ok())
    }

    /// Every field that a drill must leave as it was: services, scalable targets, groups, instances, secrets, STOP, the journal's head.
    /// Of a workload that stands beside the first the last two are called by its name.
    pub async fn state(&self) -> Result<BTreeMap<String, Value>, Error> {
        let mut state = BTreeMap::new();
        for region in [PRIMARY, STANDBY] {
            let clients = self.clients(region);
            let (services, targets, groups, instances, secrets) =
                tokio::try_join!(services(&clients), targets(&clients), groups(&clients), instances(&clients), Box::pin(secrets(&clients)))?;
            for (kind, rows) in [("service", services), ("target", targets), ("group", groups), ("instance", instances), ("secret", secrets)] {
                state.extend(rows.into_iter().map(|(name, row)| (format!("{region} {kind} {name}"), row)));
            }
        }
        state.extend(self.state_of(&self.workload, "").await?);
        for other in &self.others {
            state.extend(self.state_of(other, &format!("{} ", other.name)).await?);
        }
        Ok(state)
    }

    async fn state_of(&self, workload: &Workload, prefix: &str) -> Result<BTreeMap<String, Value>, Error> {
        let snapshot = self.snapshot_of(workload).await?;
        let head = json!({ "serving": snapshot.head.serving, "open_run": snapshot.head.open_run().map(|run| run.id.0.clone()), "hold": snapshot.head.hold, "plan_version": snapshot.head.plan_version });
        let rows = [
            ("STOP", json!(self.is_stopped_of(workload).await?)),
            ("journal head", head),
            ("journal baseline", json!(snapshot.baseline.len())),
            ("journal obligations", json!(snapshot.obligations.len())),
            ("journal leases", json!(snapshot.leases.len())),
        ];
        Ok(rows.into_iter().map(|(name, row)| (format!("{prefix}{name}"), row)).collect())
    }
}

type Rows = Vec<(String, Value)>;

async fn services(clients: &crate::aws::Clients) -> Result<Rows, Error> {
    let strategy = |service: &aws_sdk_ecs::types::Service| -> Vec<Value> {
        service.capacity_provider_strategy().iter().map(|share| json!([share.capacity_provider(), share.weight(), share.base()])).collect()
    };
    let mut rows = Vec::new();
    let clusters = clients.ecs.list_clusters().send().await.map_err(Error::part("listing clusters"))?;
    for cluster in clusters.cluster_arns() {
        let listed = clients.ecs.list_services().cluster(cluster).send().await.map_err(Error::part("listing services"))?;
        let answer = clients.ecs.describe_services().cluster(cluster).set_services(Some(listed.service_arns().to_vec()));
        let answer = answer.send().await.map_err(Error::part("describing services"))?;
        let cluster = cluster.rsplit('/').next().unwrap_or_default();
        rows.extend(answer.services().iter().map(|service| {
            let name = format!("{cluster}/{}", service.service_name().unwrap_or_default());
            (name, json!({ "desired": service.desired_count(), "running": service.running_count(), "strategy": strategy(service) }))
        }));
    }
    Ok(rows)
}

async fn targets(clients: &crate::aws::Clients) -> Result<Rows, Error> {
    let namespace = aws_sdk_applicationautoscaling::types::ServiceNamespace::Ecs;
    let answer =
        clients.scaling.describe_scalable_targets().service_namespace(namespace).send().await.map_err(Error::part("describing scalable targets"))?;
    let row = |target: &aws_sdk_applicationautoscaling::types::ScalableTarget| {
        (target.resource_id().to_owned(), json!({ "min": target.min_capacity(), "max": target.max_capacity() }))
    };
    Ok(answer.scalable_targets().iter().map(row).collect())
}

async fn groups(clients: &crate::aws::Clients) -> Result<Rows, Error> {
    let answer = clients.groups.describe_auto_scaling_groups().send().await.map_err(Error::part("describing groups"))?;
    let row = |group: &aws_sdk_autoscaling::types::AutoScalingGroup| {
        let distribution = group.mixed_instances_policy().and_then(|policy| policy.instances_distribution()).map(|instances| {
            json!([instances.on_demand_base_capacity(), instances.on_demand_percentage_above_base_capacity(), instances.spot_allocation_strategy()])
        });
        let row = json!({
            "min": group.min_size(), "desired": group.desired_capacity(), "max": group.max_size(), "instances": group.instances().len(), "distribution": distribution,
        });
        (group.auto_scaling_group_name().unwrap_or_default().to_owned(), row)
    };
    Ok(answer.auto_scaling_groups().iter().map(row).collect())
}

async fn instances(clients: &crate::aws::Clients) -> Result<Rows, Error> {
    let answer = clients.rds.describe_db_instances().send().await.map_err(Error::part("describing DB instances"))?;
    let row = |instance: &aws_sdk_rds::types::DbInstance| {
        let parameters = instance.db_parameter_groups().iter().map(|group| (group.db_parameter_group_name(), group.parameter_apply_status()));
        let row = json!({
            "status": instance.db_instance_status(), "class": instance.db_instance_class(), "retention": instance.backup_retention_period(),
            "source": instance.read_replica_source_db_instance_identifier(), "replicas": instance.read_replica_db_instance_identifiers(),
            "groups": instance.vpc_security_groups().iter().map(|group| group.vpc_security_group_id()).collect::<Vec<_>>(),
            "resource": instance.dbi_resource_id(), "multi_az": instance.multi_az(), "protected": instance.deletion_protection(),
            "parameters": parameters.collect::<Vec<_>>(),
        });
        (instance.db_instance_identifier().unwrap_or_default().to_owned(), row)
    };
    Ok(answer.db_instances().iter().map(row).collect())
}

async fn secrets(clients: &crate::aws::Clients) -> Result<Rows, Error> {
    let answer = clients.secrets.list_secrets().send().await.map_err(Error::part("listing secrets"))?;
    let mut rows = Vec::new();
    for secret in answer.secret_list() {
        let name = secret.name().unwrap_or_default();
        let value = clients.secrets.get_secret_value().secret_id(name).send().await.map_err(Error::part("reading a secret"))?;
        let policy = clients.secrets.get_resource_policy().secret_id(name).send().await.map_err(Error::part("reading a secret's policy"))?;
        let tags: BTreeMap<&str, &str> = secret.tags().iter().filter_map(|tag| Some((tag.key()?, tag.value()?))).collect();
        // The version tells whether the value changed; the value itself is nobody's business.
        let (version, rotation) = (value.version_id(), secret.rotation_enabled());
        rows.push((
            name.to_owned(),
            json!({ "arn": secret.arn(), "version": version, "rotation": rotation, "tags": tags, "policy": policy.resource_policy() }),
        ));
    }
    Ok(rows)
}
