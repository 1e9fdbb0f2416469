//! A DB snapshot as DescribeDBSnapshots answers it.

use aws_sdk_rds::Client;
use aws_sdk_rds::types::DbSnapshot;

use super::SNAPSHOTS;
use crate::aws::failed;
use crate::ports::{CallError, Why};

/// One snapshot; `None` where there is none of this name.
pub(super) async fn describe(rds: &Client, name: &str) -> Result<Option<DbSnapshot>, CallError> {
    match rds.describe_db_snapshots().db_snapshot_identifier(name).send().await.map_err(failed(SNAPSHOTS)) {
        Ok(answer) => Ok(answer.db_snapshots.unwrap_or_default().into_iter().next()),
        Err(CallError { why: Why::NotFound(_), .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
