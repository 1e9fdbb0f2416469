//! Notices over SNS: one topic wakes Relight's functions, one reaches people.

use aws_sdk_sns::Client;
use serde_json::json;

use super::{Aws, failed};
use crate::ports::{CallError, Notice, Notices};

/// SNS wants a subject of less than 100 characters, without line breaks.
const SUBJECT: usize = 99;

#[derive(Debug, Clone)]
pub struct SnsNotices {
    client: Client,
    progress_topic: String,
    people_topic: String,
}

impl SnsNotices {
    pub fn new(aws: &Aws, progress_topic: String, people_topic: String) -> SnsNotices {
        let config = aws_sdk_sns::config::Builder::from(aws.standby()).interceptor(aws.counter()).build();
        SnsNotices { client: Client::from_conf(config), progress_topic, people_topic }
    }
}

impl Notices for SnsNotices {
    async fn publish(&self, notice: &Notice) -> Result<(), CallError> {
        let request = match notice {
            Notice::Progress { plan, run, what } => {
                let message = json!({ "relight": "progress", "plan": plan, "run": run, "what": what });
                self.client.publish().topic_arn(&self.progress_topic).message(message.to_string())
            }
            Notice::People { subject, text } => {
                let subject: String = subject.chars().filter(|character| !character.is_control()).take(SUBJECT).collect();
                self.client.publish().topic_arn(&self.people_topic).subject(subject).message(text)
            }
        };
        request.send().await.map_err(failed("sns:Publish"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
