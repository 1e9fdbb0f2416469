//! What was said to others, and who would hear it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use relight::ports::{Audience, CallError, Notice, Notices, Subscriber, Topic};
use relight::state::Place;

use crate::Calls;

#[derive(Debug, Clone)]
pub struct MemoryNotices {
    calls: Calls,
    sent: Rc<RefCell<Vec<Notice>>>,
    audience: Rc<RefCell<BTreeMap<Topic, Vec<Subscriber>>>>,
}

impl MemoryNotices {
    pub fn new(calls: Calls) -> MemoryNotices {
        MemoryNotices { calls, sent: Rc::default(), audience: Rc::default() }
    }

    /// Who listens to a topic from now on.
    pub fn set_audience(&self, topic: Topic, subscribers: Vec<Subscriber>) {
        self.audience.borrow_mut().insert(topic, subscribers);
    }

    pub fn sent(&self) -> Vec<Notice> {
        self.sent.borrow().clone()
    }

    pub fn count(&self) -> usize {
        self.sent.borrow().len()
    }

    /// What was sent after the first `count`.
    pub fn since(&self, count: usize) -> Vec<Notice> {
        self.sent.borrow()[count..].to_vec()
    }
}

impl Notices for MemoryNotices {
    async fn publish(&self, notice: &Notice) -> Result<(), CallError> {
        self.calls.pass("sns:Publish", Place::Standby, "", || {
            self.sent.borrow_mut().push(notice.clone());
            Ok(())
        })
    }
}

impl Audience for MemoryNotices {
    async fn audience(&self, topic: Topic) -> Result<Vec<Subscriber>, CallError> {
        self.calls.pass("sns:ListSubscriptionsByTopic", Place::Standby, &topic.to_string(), || {
            Ok(self.audience.borrow().get(&topic).cloned().unwrap_or_default())
        })
    }
}
