//! What is said to others: to Relight's own functions (a nudge) and to people.

use super::CallError;

#[allow(async_fn_in_trait)]
pub trait Notices {
    async fn publish(&self, notice: &Notice) -> Result<(), CallError>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A part is complete or the phase changed: wakes the other functions. Never sent for each poll, since recursion
    /// detection counts hops.
    Progress { plan: String, run: String, what: String },
    /// For people, by e-mail or HTTPS.
    People { subject: String, text: String },
}
