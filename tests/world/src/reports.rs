//! The bucket of the reports, and the standby as a drill looks at it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use relight::ports::{CallError, Reports, Validate, Why};
use relight::state::Place;

use crate::Calls;

/// A report as it lies in the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub json: String,
    pub html: String,
}

#[derive(Debug, Clone)]
pub struct ReportsWorld {
    calls: Calls,
    /// Every put that was done, oldest first.
    puts: Rc<RefCell<Vec<(String, Held)>>>,
    /// Rows left behind, by the file.
    rows: Rc<RefCell<BTreeMap<String, Vec<String>>>>,
    refuses: Rc<Cell<bool>>,
}

impl ReportsWorld {
    pub fn new(calls: Calls) -> ReportsWorld {
        ReportsWorld { calls, puts: Rc::default(), rows: Rc::default(), refuses: Rc::default() }
    }

    /// The lines of a file of rows.
    pub fn rows(&self, file: &str) -> Option<Vec<String>> {
        self.rows.borrow().get(file).cloned()
    }

    /// The bucket takes nothing, until it does again.
    pub fn refuse(&self, refuses: bool) {
        self.refuses.set(refuses);
    }

    /// What lies in the bucket, by the run.
    pub fn held(&self) -> BTreeMap<String, Held> {
        self.puts.borrow().iter().cloned().collect()
    }

    /// Each put of a run's report, oldest first.
    pub fn puts(&self, run: &str) -> Vec<Held> {
        self.puts.borrow().iter().filter(|(of, _)| of == run).map(|(_, held)| held.clone()).collect()
    }
}

impl Reports for ReportsWorld {
    async fn put(&self, run: &str, json: &str, html: &str) -> Result<String, CallError> {
        self.calls.pass("s3:PutObject", Place::Standby, run, || {
            if self.refuses.get() {
                return Err(Why::Denied("the bucket's key is disabled".to_owned()));
            }
            self.puts.borrow_mut().push((run.to_owned(), Held { json: json.to_owned(), html: html.to_owned() }));
            Ok(format!("s3://reports/{run}.html"))
        })
    }

    async fn put_rows(&self, run: &str, database: &str, table: &str, lines: &[String]) -> Result<String, CallError> {
        self.calls.pass("s3:PutObject", Place::Standby, run, || {
            let file = format!("s3://reports/{run}/rows/{database}/{table}.jsonl");
            self.rows.borrow_mut().insert(file.clone(), lines.to_vec());
            Ok(file)
        })
    }
}

#[derive(Debug, Clone)]
pub struct ValidateWorld {
    calls: Calls,
    /// URLs that do not answer 200, with what they answer.
    broken: Rc<RefCell<BTreeMap<String, u16>>>,
}

impl ValidateWorld {
    pub fn new(calls: Calls) -> ValidateWorld {
        ValidateWorld { calls, broken: Rc::default() }
    }

    /// What a URL answers from now on.
    pub fn answers(&self, url: &str, status: u16) {
        self.broken.borrow_mut().insert(url.to_owned(), status);
    }
}

impl Validate for ValidateWorld {
    async fn look(&self, url: &str) -> Result<String, String> {
        let status = || self.broken.borrow().get(url).copied().unwrap_or(200);
        match self.calls.pass("http:Get", Place::Standby, url, || Ok::<_, Why>(status())) {
            Ok(200) => Ok("answered 200".to_owned()),
            Ok(status) => Err(format!("answered {status}")),
            Err(error) => Err(error.to_string()),
        }
    }
}
