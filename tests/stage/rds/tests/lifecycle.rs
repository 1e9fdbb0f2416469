//! What an instance goes through besides replication, and that nothing outlives the stage.

mod common;

use aws_sdk_rds::types::{Filter, Tag};
use common::*;

async fn started_at(stage: &Stage) -> String {
    let rows = stage.rds.sql(PRIMARY, "orders", "postgres", "SELECT pg_postmaster_start_time()").await.expect("an answer");
    rows[0][0].clone().expect("not null")
}

#[tokio::test]
async fn instance_is_created_changed_stopped_and_deleted() {
    let stage = Stage::start("lifecycle").await;
    let primary = &stage.primary;
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    let request = create(primary, "orders").vpc_security_group_ids("sg-1").tags(tag("owner", "shop & <co>"));
    let created = request.send().await.expect("accepted").db_instance.expect("an instance");
    assert_eq!(status(&created), "creating");
    assert!(created.endpoint().is_none(), "no endpoint before there is an instance");
    wait_for(primary, "orders", "backing-up").await;
    let orders = wait_for(primary, "orders", "available").await;
    assert_eq!(orders.db_instance_arn(), Some(arn(PRIMARY, "orders").as_str()));
    assert_eq!(orders.endpoint().expect("an endpoint").address(), Some("127.0.0.1"));
    assert_eq!((orders.engine(), orders.master_username(), orders.db_name()), (Some("postgres"), Some("app"), Some("shop")));
    assert_eq!((orders.backup_retention_period(), orders.multi_az(), orders.allocated_storage()), (Some(7), Some(false), Some(20)));
    assert_eq!(orders.tag_list(), [tag("owner", "shop & <co>")]);
    assert!(orders.instance_create_time().is_some() && orders.dbi_resource_id().is_some_and(|id| id.starts_with("db-")));
    assert!(stage.login(PRIMARY, "orders").await.is_ok());
    let endpoint = stage.rds.endpoint(PRIMARY, "orders").expect("an endpoint");
    assert!(login(endpoint, "another-password").await.is_err(), "passwords are really checked");

    class_waits_for_its_window_and_restarts_when_applied(&stage).await;
    password_is_really_changed(&stage).await;
    snapshots_and_tags_are_kept(&stage).await;

    let before = started_at(&stage).await;
    primary.reboot_db_instance().db_instance_identifier("orders").send().await.expect("accepted");
    wait_for(primary, "orders", "available").await;
    assert_ne!(started_at(&stage).await, before);
    primary.stop_db_instance().db_instance_identifier("orders").send().await.expect("accepted");
    wait_for(primary, "orders", "stopped").await;
    assert!(stage.rds.groups().is_empty());
    primary.start_db_instance().db_instance_identifier("orders").send().await.expect("accepted");
    wait_for(primary, "orders", "available").await;

    let filter = |id: &str| Filter::builder().name("db-instance-id").values(id).build();
    let found = primary.describe_db_instances().filters(filter("orders")).send().await.expect("described");
    assert_eq!(found.db_instances().len(), 1);
    let none = primary.describe_db_instances().filters(filter("nobody")).send().await.expect("described");
    assert!(none.db_instances().is_empty());
    assert!(stage.standby.describe_db_instances().send().await.expect("described").db_instances().is_empty(), "one Region a list");

    primary.delete_db_instance().db_instance_identifier("orders").skip_final_snapshot(true).send().await.expect("accepted");
    until("it is gone", async || primary.describe_db_instances().send().await.expect("described").db_instances().is_empty().then_some(())).await;
    assert!(stage.rds.groups().is_empty());
    stage.end().await;
}

async fn class_waits_for_its_window_and_restarts_when_applied(stage: &Stage) {
    let before = started_at(stage).await;
    let modify = stage.primary.modify_db_instance().db_instance_identifier("orders");
    modify.clone().db_instance_class("db.r7g.large").send().await.expect("accepted");
    let waiting = instance(&stage.primary, "orders").await;
    assert_eq!((status(&waiting), waiting.db_instance_class()), ("available", Some("db.t4g.micro")));
    assert_eq!(waiting.pending_modified_values().expect("pending").db_instance_class(), Some("db.r7g.large"));
    assert_eq!(started_at(stage).await, before);
    modify.apply_immediately(true).send().await.expect("accepted");
    assert_eq!(status(&instance(&stage.primary, "orders").await), "modifying");
    let done = wait_for(&stage.primary, "orders", "available").await;
    assert_eq!(done.db_instance_class(), Some("db.r7g.large"));
    assert!(done.pending_modified_values().is_none_or(|pending| pending.db_instance_class().is_none()));
    assert_ne!(started_at(stage).await, before, "a change of class restarts the server");
}

async fn password_is_really_changed(stage: &Stage) {
    let modify = stage.primary.modify_db_instance().db_instance_identifier("orders");
    modify.clone().master_user_password("it's-another-1").send().await.expect("accepted");
    wait_for(&stage.primary, "orders", "available").await;
    let endpoint = stage.rds.endpoint(PRIMARY, "orders").expect("an endpoint");
    assert!(login(endpoint, PASSWORD).await.is_err());
    login(endpoint, "it's-another-1").await.expect("login");
    modify.master_user_password(PASSWORD).send().await.expect("accepted");
    wait_for(&stage.primary, "orders", "available").await;
}

async fn snapshots_and_tags_are_kept(stage: &Stage) {
    let primary = &stage.primary;
    let request = primary.create_db_snapshot().db_instance_identifier("orders").db_snapshot_identifier("before-change");
    let made = request.clone().send().await.expect("accepted").db_snapshot.expect("a snapshot");
    assert_eq!(made.status(), Some("creating"));
    assert_eq!(status(&instance(primary, "orders").await), "backing-up");
    assert_eq!(refusal(request.send().await), ("DBSnapshotAlreadyExists".to_owned(), 400));
    wait_for(primary, "orders", "available").await;
    let found = primary.describe_db_snapshots().db_snapshot_identifier("before-change").send().await.expect("described");
    assert_eq!(found.db_snapshots()[0].status(), Some("available"));

    let name = arn(PRIMARY, "orders");
    let tag = Tag::builder().key("relight").value("run-1").build();
    primary.add_tags_to_resource().resource_name(&name).tags(tag).send().await.expect("tagged");
    primary.remove_tags_from_resource().resource_name(&name).tag_keys("owner").send().await.expect("untagged");
    let tags = primary.list_tags_for_resource().resource_name(&name).send().await.expect("listed");
    let tags: Vec<_> = tags.tag_list().iter().filter_map(|tag| tag.key()).collect();
    assert_eq!(tags, ["relight"]);
}

#[tokio::test]
async fn dropped_stage_leaves_no_server() {
    let stage = Stage::with_primary("dropped").await;
    let groups = stage.rds.groups();
    assert_eq!(groups.len(), 1);
    let folder = stage.folder.clone();
    drop(stage);
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", groups[0]));
    assert!(stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z ")), "the server has ended");
    std::fs::remove_dir_all(folder).expect("the data is removed");
}
