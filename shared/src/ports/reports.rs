//! Where reports lie, and the look at the standby while a drill holds it.

use super::CallError;

#[allow(async_fn_in_trait)]
pub trait Reports {
    /// Puts both forms of a run's report and says where the page lies. Putting it again replaces it.
    async fn put(&self, run: &str, json: &str, html: &str) -> Result<String, CallError>;

    /// Puts the rows that one table of the old writer had for itself, and says where they lie. Putting them again replaces
    /// them. They are the workload's own data: the bucket is as secret as the database.
    async fn put_rows(&self, run: &str, database: &str, table: &str, lines: &[String]) -> Result<String, CallError>;
}

#[allow(async_fn_in_trait)]
pub trait Validate {
    /// Asks one URL of the standby. `Ok(sentence)` where it answered 200, else why not; never an error: that is the finding.
    async fn look(&self, url: &str) -> Result<String, String>;
}
