//! Every call that the world gets, and the faults that it answers with.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use relight::ports::{CallError, Why};
use relight::state::Place;

/// What a call meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happens, the caller is told so.
    Throttled,
    /// Nothing happens and nobody says so.
    Silence,
    /// It is done, and the answer is lost.
    LostAnswer,
    Denied,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub operation: &'static str,
    pub place: Place,
    /// Which resource; empty where there is none.
    pub about: String,
}

/// Looks on at every call, before it has any effect.
type Witness = Rc<dyn Fn(&Call)>;

#[derive(Default)]
struct Inner {
    log: Vec<Call>,
    /// Faults for the next calls of an operation.
    planned: Vec<(&'static str, VecDeque<Fault>)>,
    /// A fault for the n-th call from now on, whatever it is.
    nth: Option<(usize, Fault)>,
    dark: Vec<Place>,
    requests: u32,
    witness: Option<Witness>,
}

/// Shared by all parts of one world.
#[derive(Clone, Default)]
pub struct Calls(Rc<RefCell<Inner>>);

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Calls({})", self.0.borrow().log.len())
    }
}

impl Calls {
    /// Passes one call to `f`, unless a fault is planned for it or its Region is dark.
    pub fn pass<T>(&self, operation: &'static str, place: Place, about: &str, f: impl FnOnce() -> Result<T, Why>) -> Result<T, CallError> {
        let fault = self.meet(operation, place, about);
        let fail = |why| Err(CallError::new(operation, why));
        match fault {
            Some(Fault::Throttled) => fail(Why::Throttled),
            Some(Fault::Silence) => fail(Why::Unanswered("time-out".to_owned())),
            Some(Fault::Denied) => fail(Why::Denied(format!("not authorized to perform {operation}"))),
            Some(Fault::LostAnswer) => {
                let _done = f();
                fail(Why::Unanswered("time-out".to_owned()))
            }
            None => f().map_err(|why| CallError::new(operation, why)),
        }
    }

    fn meet(&self, operation: &'static str, place: Place, about: &str) -> Option<Fault> {
        let call = Call { operation, place, about: about.to_owned() };
        // It may look at the whole world, this log among it.
        let witness = self.0.borrow().witness.clone();
        if let Some(witness) = witness {
            witness(&call);
        }
        let mut inner = self.0.borrow_mut();
        inner.log.push(call);
        // Counted as the log counts, from which a test takes its number: dark or not.
        let nth = inner.nth;
        inner.nth = nth.and_then(|(left, fault)| Some((left.checked_sub(1)?, fault)));
        if inner.dark.contains(&place) {
            return Some(Fault::Silence);
        }
        if let Some((0, fault)) = nth {
            return Some(fault);
        }
        inner.planned.iter_mut().find(|(planned, _)| *planned == operation).and_then(|(_, faults)| faults.pop_front())
    }

    /// The next call of `operation` meets `fault`; further ones queue behind it.
    pub fn fault(&self, operation: &'static str, fault: Fault) {
        let mut inner = self.0.borrow_mut();
        match inner.planned.iter_mut().find(|(planned, _)| *planned == operation) {
            Some((_, faults)) => faults.push_back(fault),
            None => inner.planned.push((operation, VecDeque::from([fault]))),
        }
    }

    /// The call after `n` others meets `fault`.
    pub fn fault_at(&self, n: usize, fault: Fault) {
        self.0.borrow_mut().nth = Some((n, fault));
    }

    /// Whether the planned n-th fault has not been met.
    pub fn fault_is_pending(&self) -> bool {
        self.0.borrow().nth.is_some()
    }

    /// From now on `f` looks on at every call, before it has any effect: what must be so at every instant, it holds.
    pub fn witness(&self, f: impl Fn(&Call) + 'static) {
        self.0.borrow_mut().witness = Some(Rc::new(f));
    }

    /// A Region as a black hole, or back again.
    pub fn dark(&self, place: Place, dark: bool) {
        let mut inner = self.0.borrow_mut();
        inner.dark.retain(|held| *held != place);
        if dark {
            inner.dark.push(place);
        }
    }

    pub fn is_dark(&self, place: Place) -> bool {
        self.0.borrow().dark.contains(&place)
    }

    pub fn log(&self) -> Vec<Call> {
        self.0.borrow().log.clone()
    }

    /// How often an operation was called.
    pub fn count(&self, operation: &str) -> usize {
        self.0.borrow().log.iter().filter(|call| call.operation == operation).count()
    }

    pub fn next_request(&self) -> String {
        let mut inner = self.0.borrow_mut();
        inner.requests += 1;
        format!("request-{}", inner.requests)
    }
}
