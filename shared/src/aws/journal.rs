//! The journal over one DynamoDB table.
//!
//! Every write is a transaction, whose token is its attempt id: a retry after a lost answer, by the SDK, is the same
//! write. Beyond the ten minutes for which DynamoDB knows a token, and where the token is not honoured, the attempt id in
//! the items tells: a condition that failed on our own write did not fail.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem};
use uuid::Uuid;

use super::{Aws, failed};
use crate::ports::{CallError, Change, Entry, Journal, JournalError, Why, Write, Written};
use crate::run::RunId;
use crate::state::{Item, Key, Snapshot, SnapshotError};

#[derive(Debug, Clone)]
pub struct DynamoJournal {
    client: Client,
    table: String,
    plan: String,
    region: String,
}

impl DynamoJournal {
    /// `plan` is the plan's name: the partition.
    pub fn new(aws: &Aws, table: String, plan: String) -> DynamoJournal {
        let config = aws_sdk_dynamodb::config::Builder::from(aws.standby()).interceptor(aws.counter()).build();
        DynamoJournal { client: Client::from_conf(config), table, plan, region: aws.region().to_owned() }
    }

    fn fail(&self, doing: &'static str, error: CallError) -> JournalError {
        match error.why {
            Why::NotFound(_) => JournalError::NoTable { table: self.table.clone(), region: self.region.clone() },
            _ => JournalError::Call { doing, message: error.to_string() },
        }
    }

    fn content(doing: &'static str, what: &str) -> JournalError {
        JournalError::Call { doing, message: format!("an item {what}") }
    }

    async fn query(&self, partition: &str) -> Result<Vec<HashMap<String, AttributeValue>>, JournalError> {
        let pages = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", AttributeValue::S(partition.to_owned()))
            .into_paginator()
            .items()
            .send();
        pages.try_collect().await.map_err(|error| self.fail("read", failed("dynamodb:Query")(error)))
    }

    fn change(&self, write: &Write, attempt: &str) -> Result<TransactWriteItem, JournalError> {
        let key = write.key.to_string();
        let (condition, expected) = match write.expected {
            None => ("attribute_not_exists(pk)", None),
            Some(revision) => ("revision = :expected", Some(number(revision))),
        };
        let build = |error: aws_sdk_dynamodb::error::BuildError| JournalError::Call { doing: "written", message: error.to_string() };
        Ok(match &write.change {
            Change::Put(body) => {
                let put = Put::builder()
                    .table_name(&self.table)
                    .item("pk", text(&self.plan))
                    .item("sk", text(&key))
                    .item("revision", number(write.expected.unwrap_or(0) + 1))
                    .item("attempt", text(attempt))
                    .item("body", text(&body.to_string()))
                    .condition_expression(condition)
                    .set_expression_attribute_values(expected.map(|value| HashMap::from([(":expected".to_owned(), value)])));
                TransactWriteItem::builder().put(put.build().map_err(build)?).build()
            }
            Change::Delete => {
                let delete = Delete::builder()
                    .table_name(&self.table)
                    .key("pk", text(&self.plan))
                    .key("sk", text(&key))
                    .condition_expression(condition)
                    .set_expression_attribute_values(expected.map(|value| HashMap::from([(":expected".to_owned(), value)])));
                TransactWriteItem::builder().delete(delete.build().map_err(build)?).build()
            }
        })
    }

    fn append(&self, run: &RunId, entry: &Entry, attempt: &str, index: usize) -> Result<TransactWriteItem, JournalError> {
        let body = serde_json::to_string(entry).map_err(|error| JournalError::Call { doing: "written", message: error.to_string() })?;
        let put = Put::builder()
            .table_name(&self.table)
            .item("pk", text(&format!("{}#{run}", self.plan)))
            .item("sk", text(&format!("{}#{attempt}#{index}", entry.at.strftime("%Y-%m-%dT%H:%M:%S%.9fZ"))))
            .item("body", text(&body));
        Ok(TransactWriteItem::builder()
            .put(put.build().map_err(|error| JournalError::Call { doing: "written", message: error.to_string() })?)
            .build())
    }

    /// Whether the condition that failed failed on our own earlier attempt.
    async fn is_ours(&self, key: &Key, attempt: &str) -> Result<bool, JournalError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .consistent_read(true)
            .key("pk", text(&self.plan))
            .key("sk", text(&key.to_string()))
            .send()
            .await;
        let item = answer.map_err(|error| self.fail("read", failed("dynamodb:GetItem")(error)))?.item;
        Ok(item.as_ref().and_then(|item| item.get("attempt")).and_then(|held| held.as_s().ok()).is_some_and(|held| held == attempt))
    }
}

impl Journal for DynamoJournal {
    async fn read(&self) -> Result<Snapshot, JournalError> {
        let items = self.query(&self.plan).await?.iter().map(item).collect::<Result<Vec<_>, _>>()?;
        Ok(Snapshot::of(items)?)
    }

    async fn write(&self, changes: Vec<Write>, entries: Vec<(RunId, Entry)>) -> Result<Written, JournalError> {
        let attempt = Uuid::new_v4().to_string();
        let mut items = changes.iter().map(|change| self.change(change, &attempt)).collect::<Result<Vec<_>, _>>()?;
        for (index, (run, entry)) in entries.iter().enumerate() {
            items.push(self.append(run, entry, &attempt, index)?);
        }
        let sent = self.client.transact_write_items().set_transact_items(Some(items)).client_request_token(&attempt).send().await;
        match sent {
            Ok(_) => Ok(Written::Done),
            Err(error) if lost(&error) => {
                // A deleted item cannot carry the attempt id; a put in the same transaction does. Where nothing is put, a
                // deletion that was done and not answered reads as lost: the next look finds the item gone, which is all that
                // was wanted, and what was appended with it has the attempt in its key, so a retry writes no second line.
                let put = changes.iter().find(|change| matches!(change.change, Change::Put(_)));
                match put {
                    Some(put) if self.is_ours(&put.key, &attempt).await? => Ok(Written::Done),
                    _ => Ok(Written::Lost),
                }
            }
            Err(error) => Err(self.fail("written", failed("dynamodb:TransactWriteItems")(error))),
        }
    }

    async fn history(&self, run: &RunId) -> Result<Vec<Entry>, JournalError> {
        let read = |item: &HashMap<String, AttributeValue>| {
            let body =
                item.get("body").and_then(|body| body.as_s().ok()).ok_or_else(|| DynamoJournal::content("read", "of the history has no body"))?;
            serde_json::from_str(body).map_err(|error| DynamoJournal::content("read", &error.to_string()))
        };
        self.query(&format!("{}#{run}", self.plan)).await?.iter().map(read).collect()
    }
}

/// A condition did not hold, or another transaction was at the same items at this moment: both mean read again.
fn lost(error: &SdkError<TransactWriteItemsError>) -> bool {
    let SdkError::ServiceError(answer) = error else { return false };
    match answer.err() {
        TransactWriteItemsError::TransactionCanceledException(cancelled) => {
            cancelled.cancellation_reasons().iter().any(|reason| matches!(reason.code(), Some("ConditionalCheckFailed" | "TransactionConflict")))
        }
        other => other.code() == Some("TransactionInProgressException"),
    }
}

fn item(item: &HashMap<String, AttributeValue>) -> Result<Item, JournalError> {
    let named = item.get("sk").and_then(|value| value.as_s().ok()).map_or("without a key", String::as_str);
    let missing = |name: &str| DynamoJournal::content("read", &format!("`{named}` lacks `{name}`"));
    let get = |name: &'static str| item.get(name).and_then(|value| value.as_s().ok()).ok_or_else(|| missing(name));
    let key = Key::from(get("sk")?.as_str());
    let revision = item.get("revision").and_then(|value| value.as_n().ok()).and_then(|text| text.parse().ok()).ok_or_else(|| missing("revision"))?;
    let body = serde_json::from_str(get("body")?).map_err(|source| SnapshotError::new(key.clone(), &serde_json::Value::Null, source))?;
    Ok(Item { key, revision, body })
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

#[cfg(test)]
mod tests;
