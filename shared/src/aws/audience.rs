//! Who listens to the control stack's topics, over SNS in the standby Region.

use std::sync::OnceLock;

use aws_sdk_sns::Client;

use super::{Aws, failed};
use crate::ports::{Audience, CallError, Subscriber, Topic};

/// SNS shows this in place of an ARN until the person has answered its question.
const PENDING: &str = "PendingConfirmation";

/// ARNs of the topics.
#[derive(Debug, Clone)]
pub struct Topics {
    pub progress: String,
    pub alarms: String,
    pub people: String,
}

#[derive(Debug)]
pub struct SnsAudience {
    aws: Aws,
    client: OnceLock<Client>,
    topics: Topics,
}

impl SnsAudience {
    pub fn new(aws: &Aws, topics: Topics) -> SnsAudience {
        SnsAudience { aws: aws.clone(), client: OnceLock::new(), topics }
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(|| Client::from_conf(aws_sdk_sns::config::Builder::from(self.aws.standby()).interceptor(self.aws.counter()).build()))
    }
}

impl Audience for SnsAudience {
    async fn audience(&self, topic: Topic) -> Result<Vec<Subscriber>, CallError> {
        let arn = match topic {
            Topic::Progress => &self.topics.progress,
            Topic::Alarms => &self.topics.alarms,
            Topic::People => &self.topics.people,
        };
        let mut pages = self.client().list_subscriptions_by_topic().topic_arn(arn).into_paginator().send();
        let mut subscribers = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(failed("sns:ListSubscriptionsByTopic"))?;
            subscribers.extend(page.subscriptions().iter().map(|held| Subscriber {
                endpoint: held.endpoint().unwrap_or_default().to_owned(),
                confirmed: held.subscription_arn().is_some_and(|arn| arn != PENDING && arn != "Deleted"),
            }));
        }
        Ok(subscribers)
    }
}

#[cfg(test)]
mod tests;
