//! The databases as those who log in see them: users and their passwords, for each host.
//!
//! Whether a host is in recovery, [`DatabaseWorld`] says. A host that is first met has the users that the primary had:
//! replicas and copies are made of its data, and go their own ways from then on.

mod home;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use relight::ports::{Compared, LeftRows, Login, LoginError, Lsn, Position, Proof, Reached, Seen, Table, Tables};
use relight::secret::{SecretValue, Tls};
use relight::state::Place;

use crate::Calls;
use crate::database::DatabaseWorld;

/// What a server does about TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Offers {
    /// It takes TLS and plaintext.
    #[default]
    Both,
    PlaintextOnly,
    TlsOnly,
}

/// One change of a password, or a new user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordChange {
    pub host: String,
    pub user: String,
}

#[derive(Debug, Default)]
struct Servers {
    /// What the primary's data hold.
    users: BTreeMap<String, String>,
    hosts: BTreeMap<String, BTreeMap<String, String>>,
    /// Users that hold another's rights.
    members: Vec<(String, String)>,
    changes: Vec<PasswordChange>,
    unreachable: Vec<String>,
    offers: BTreeMap<String, Offers>,
    /// Databases that are not there, whatever a secret says.
    dropped: Vec<String>,
    /// Users who may create and alter nobody.
    powerless: Vec<String>,
    /// Every password that there ever was.
    passwords: Vec<String>,
    /// Writes never stand still: a writer and its replica are not seen at one position while writes are open.
    busy: bool,
}

#[derive(Debug, Clone)]
pub struct LoginWorld {
    calls: Calls,
    database: DatabaseWorld,
    servers: Rc<RefCell<Servers>>,
}

impl LoginWorld {
    pub fn of(calls: Calls, database: DatabaseWorld) -> LoginWorld {
        LoginWorld { calls, database, servers: Rc::default() }
    }

    /// A user of the primary's data, and so of every host that is met later.
    pub fn add_user(&self, user: &str, password: &str) {
        let mut servers = self.servers.borrow_mut();
        servers.users.insert(user.to_owned(), password.to_owned());
        servers.passwords.push(password.to_owned());
    }

    /// The password of a user at one host, set by somebody else.
    pub fn set_password(&self, host: &str, user: &str, password: &str) {
        self.users_of(host, |users| users.insert(user.to_owned(), password.to_owned()));
        self.servers.borrow_mut().passwords.push(password.to_owned());
    }

    pub fn password(&self, host: &str, user: &str) -> Option<String> {
        self.users_of(host, |users| users.get(user).cloned())
    }

    pub fn changes(&self) -> Vec<PasswordChange> {
        self.servers.borrow().changes.clone()
    }

    /// Users that were made members of another's role, `(member, of)`.
    pub fn members(&self) -> Vec<(String, String)> {
        self.servers.borrow().members.clone()
    }

    pub fn set_unreachable(&self, host: &str, unreachable: bool) {
        let mut servers = self.servers.borrow_mut();
        servers.unreachable.retain(|held| held != host);
        if unreachable {
            servers.unreachable.push(host.to_owned());
        }
    }

    pub fn set_offers(&self, host: &str, offers: Offers) {
        self.servers.borrow_mut().offers.insert(host.to_owned(), offers);
    }

    pub fn drop_database(&self, database: &str) {
        self.servers.borrow_mut().dropped.push(database.to_owned());
    }

    pub fn make_powerless(&self, user: &str) {
        self.servers.borrow_mut().powerless.push(user.to_owned());
    }

    /// Every password that ever was, to look for in what was shown.
    pub fn passwords(&self) -> Vec<String> {
        self.servers.borrow().passwords.clone()
    }

    /// Whether a login works now, without being one of Relight's calls: what an application would see.
    pub fn opens(&self, with: &SecretValue) -> bool {
        self.admit(with).is_ok()
    }

    /// A change that no call of Relight makes.
    pub(crate) fn change(&self, with: &SecretValue) {
        if let (Ok(at), Ok(user), Ok(password)) = (with.endpoint(), with.username(), with.password()) {
            self.set_password(&self.database.behind(&at).host, user, password);
        }
    }

    /// The users of a host that was not asked before. What a failback builds has its source's: read through to it while it
    /// replicates, its own from then on.
    fn born(&self, host: &str) -> BTreeMap<String, String> {
        let mut host = host.to_owned();
        loop {
            if let Some(users) = self.servers.borrow().hosts.get(&host) {
                return users.clone();
            }
            match self.database.users_come_from(&host) {
                Some(source) => host = source,
                None => return self.servers.borrow().users.clone(),
            }
        }
    }

    fn users_of<T>(&self, host: &str, f: impl FnOnce(&mut BTreeMap<String, String>) -> T) -> T {
        for (from, to) in self.database.take_renamed() {
            let mut servers = self.servers.borrow_mut();
            if let Some(users) = servers.hosts.remove(&from) {
                servers.hosts.insert(to, users);
            }
        }
        let born = self.born(host);
        let replicates = self.database.users_come_from(host).is_some() && self.database.at_host(host).is_some_and(|(_, at)| at.source.is_some());
        let mut servers = self.servers.borrow_mut();
        if replicates && !servers.hosts.contains_key(host) {
            let mut born = born;
            return f(&mut born);
        }
        f(servers.hosts.entry(host.to_owned()).or_insert(born))
    }

    fn admit(&self, with: &SecretValue) -> Result<(String, Seen), LoginError> {
        with.dialect()?;
        let asked = with.endpoint()?;
        let at = format!("{}:{}", asked.host, asked.port);
        let endpoint = self.database.behind(&asked);
        let dark = |place: Place| self.calls.is_dark(place);
        let instance = self.database.at_host(&endpoint.host).filter(|(place, _)| !dark(*place)).map(|(_, instance)| instance);
        let instance = instance.filter(|instance| instance.endpoint.as_ref() == Some(&endpoint));
        let instance = instance.filter(|instance| !matches!(instance.status.as_str(), "creating" | "rebooting" | "renaming"));
        let unreachable = |host: &String| self.servers.borrow().unreachable.contains(host);
        let instance = instance.filter(|_| !unreachable(&asked.host) && !unreachable(&endpoint.host));
        let Some(instance) = instance else {
            return Err(LoginError::Unreachable { at, why: "connection refused".to_owned() });
        };
        let (user, password) = (with.username()?, with.password()?);
        let encrypted = self.encrypt(with, &endpoint.host, &at)?;
        if self.users_of(&endpoint.host, |users| users.get(user).map(String::as_str) != Some(password)) {
            return Err(LoginError::WrongPassword { at });
        }
        if self.servers.borrow().dropped.iter().any(|database| database == with.database().unwrap_or("postgres")) {
            return Err(LoginError::Refused { at, doing: "let this user in", code: "3D000".to_owned(), remedy: "correct `dbname` in the secret" });
        }
        Ok((at, Seen { in_recovery: instance.source.is_some(), encrypted }))
    }

    /// Whether a login is encrypted, by what the secret asks for and the server takes.
    fn encrypt(&self, with: &SecretValue, host: &str, at: &str) -> Result<bool, LoginError> {
        let at = at.to_owned();
        match (with.tls(), self.servers.borrow().offers.get(host).copied().unwrap_or_default()) {
            (Tls::Preferred | Tls::Required, Offers::Both | Offers::TlsOnly) => Ok(true),
            (Tls::Preferred | Tls::Off, Offers::PlaintextOnly) | (Tls::Off, Offers::Both) => Ok(false),
            (Tls::Required, Offers::PlaintextOnly) => Err(LoginError::Tls { at, why: "the server has none".to_owned() }),
            (Tls::Off, Offers::TlsOnly) => {
                let remedy = "check that the server accepts it with this `ssl`";
                Err(LoginError::Refused { at, doing: "let this user in", code: "28000".to_owned(), remedy })
            }
        }
    }

    fn pass<T>(&self, operation: &'static str, with: &SecretValue, f: impl FnOnce() -> Result<T, LoginError>) -> Result<T, LoginError> {
        let at = with.endpoint().map(|endpoint| endpoint.host).unwrap_or_default();
        let place = self.database.at_host(&at).map_or(Place::Standby, |(place, _)| place);
        let answer = self.calls.pass(operation, place, &at, || Ok(f()));
        answer.unwrap_or_else(|_| Err(LoginError::TimedOut { at, seconds: 5 }))
    }

    fn writable(&self, with: &SecretValue) -> Result<(), LoginError> {
        match self.admit(with)? {
            (at, Seen { in_recovery: true, .. }) => Err(LoginError::ReadOnly { at, why: "it is in recovery, its promotion has not ended" }),
            (at, _) if self.database.is_closed(&self.database.behind(&with.endpoint()?).host) => {
                Err(LoginError::ReadOnly { at, why: "read_only is on: its promotion has not ended, or its parameter group sets it" })
            }
            (at, _) if self.database.with_data(&self.database.behind(&with.endpoint()?).host, |data| data.read_only) == Some(true) => {
                Err(LoginError::ReadOnly { at, why: "its transactions are read-only by default; set default_transaction_read_only to off" })
            }
            _ => Ok(()),
        }
    }

    fn changed(&self, with: &SecretValue, user: &str, password: &str) -> Result<(), LoginError> {
        let host = with.endpoint()?.host;
        self.set_password(&host, user, password);
        self.servers.borrow_mut().changes.push(PasswordChange { host, user: user.to_owned() });
        Ok(())
    }
}

impl Login for LoginWorld {
    async fn login(&self, with: &SecretValue) -> Result<Seen, LoginError> {
        self.pass("login:Login", with, || self.admit(with).map(|(_, seen)| seen))
    }

    async fn prove_writable(&self, with: &SecretValue) -> Result<Proof, LoginError> {
        self.pass("login:Prove", with, || self.writable(with).map(|()| Proof::Row))
    }

    async fn change_password(&self, with: &SecretValue, to: &str) -> Result<(), LoginError> {
        self.pass("login:ChangePassword", with, || {
            self.writable(with)?;
            self.changed(with, with.username()?, to)
        })
    }

    async fn ensure_twin(&self, admin: &SecretValue, of: &SecretValue, twin: &SecretValue) -> Result<(), LoginError> {
        self.pass("login:EnsureTwin", admin, || {
            self.writable(admin)?;
            if self.servers.borrow().powerless.iter().any(|user| admin.username().is_ok_and(|admin| admin == user)) {
                let (at, doing) = (admin.endpoint()?.host, "create or alter the other user");
                return Err(LoginError::Refused { at, doing, code: "42501".to_owned(), remedy: "grant the user this right" });
            }
            let (user, twin_user) = (of.username()?, twin.username()?);
            let exists = self.users_of(&admin.endpoint()?.host, |users| users.contains_key(twin_user));
            if !exists {
                self.servers.borrow_mut().members.push((twin_user.to_owned(), user.to_owned()));
            }
            self.changed(admin, twin_user, twin.password()?)
        })
    }

    async fn beat(&self, with: &SecretValue) -> Result<(), LoginError> {
        self.pass("login:Beat", with, || {
            self.writable(with)?;
            self.database.beat(&with.endpoint()?.host);
            Ok(())
        })
    }

    async fn reached(&self, with: &SecretValue) -> Result<Reached, LoginError> {
        self.pass("login:Reached", with, || {
            let position = self.read_position(with)?;
            if !position.in_recovery {
                let at = with.endpoint()?.host;
                return Err(LoginError::Unsettled { at, why: "it is no replica any more, so it cannot say how far it came as one" });
            }
            let data = self.look(with)?;
            Ok(Reached {
                received: position.received,
                replayed: position.replayed,
                committed_at: data.committed_at,
                beat_at: data.beat_at,
                level_at: None,
                ..Reached::default()
            })
        })
    }

    async fn position(&self, with: &SecretValue) -> Result<Position, LoginError> {
        self.pass("login:Position", with, || self.read_position(with))
    }

    async fn behind(&self, writer: &SecretValue, replica: &SecretValue) -> Result<u64, LoginError> {
        self.pass("login:Behind", replica, || {
            let (written, there) = (self.read_position(writer)?, self.read_position(replica)?);
            Ok(written.received.0.saturating_sub(there.replayed.0))
        })
    }

    async fn tables(&self, with: &SecretValue, named: &[String]) -> Result<Tables, LoginError> {
        self.pass("login:Tables", with, || self.list_tables(with, named))
    }

    async fn left_behind(&self, old: &SecretValue, serving: &SecretValue, table: &Table) -> Result<LeftRows, LoginError> {
        self.pass("login:LeftBehind", old, || self.find_left(old, serving, table))
    }

    async fn compare(&self, here: &SecretValue, there: &SecretValue, tables: &[Table]) -> Result<Compared, LoginError> {
        self.pass("login:Compare", there, || self.compare_both(here, there, tables))
    }

    async fn close_writes(&self, admin: &SecretValue) -> Result<Lsn, LoginError> {
        self.pass("login:CloseWrites", admin, || self.close(admin))
    }

    async fn open_writes(&self, admin: &SecretValue) -> Result<(), LoginError> {
        self.pass("login:OpenWrites", admin, || self.open(admin))
    }
}
