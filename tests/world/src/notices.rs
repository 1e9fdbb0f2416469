//! What was said to others.

use std::cell::RefCell;
use std::rc::Rc;

use relight::ports::{CallError, Notice, Notices};
use relight::state::Place;

use crate::Calls;

#[derive(Debug, Clone)]
pub struct MemoryNotices {
    calls: Calls,
    sent: Rc<RefCell<Vec<Notice>>>,
}

impl MemoryNotices {
    pub fn new(calls: Calls) -> MemoryNotices {
        MemoryNotices { calls, sent: Rc::default() }
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
