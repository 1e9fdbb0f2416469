//! The value of a secret: a JSON object in the shape that Secrets Manager's own rotation functions read and write.
//!
//! It never shows itself: no `Display`, no `Serialize`, a `Debug` that says nothing, errors that name a key and never a
//! value, and memory that is overwritten when it is dropped. What Relight does not know is kept, and the keys stay in
//! their order, because applications and people read them.

mod dialect;

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::{Error as _, Serialize, SerializeMap, Serializer};
use serde_json::Value;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::plan::Engine;
use crate::ports::LoginError;
use crate::state::Endpoint;
pub use dialect::Dialect;

/// Suffix of the second of two alternating users, as in AWS's own rotation functions.
const CLONE: &str = "_clone";
/// Where the database itself listens, `host:port`, in a secret whose `host` is a proxy before it. A proxy lets in whom AWSCURRENT names, so a
/// rotation could not try AWSPENDING through it.
const DIRECT: &str = "relight_direct";

/// A parsed secret.
#[derive(Clone, PartialEq)]
pub struct SecretValue {
    fields: Vec<(String, Value)>,
}

/// Whether a login is encrypted, by the secret's `ssl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// `ssl` is missing: TLS first, plaintext where that fails.
    Preferred,
    /// `true`: TLS or nothing.
    Required,
    /// `false`: plaintext.
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret's value is no JSON object with keys like username, password, host; put one (docs/databases.md shows it)")]
pub struct BadSecret;

impl SecretValue {
    /// Parses the secret's string. The error says nothing of it: serde's would quote the place where it broke.
    pub fn parse(text: &str) -> Result<SecretValue, BadSecret> {
        let Fields(value) = serde_json::from_str(text).map_err(|_| BadSecret)?;
        Ok(value)
    }

    /// The JSON text, for Secrets Manager alone.
    pub fn to_json(&self) -> Zeroizing<String> {
        // Maps of strings to values always serialise.
        Zeroizing::new(serde_json::to_string(&Object(&self.fields)).unwrap_or_default())
    }

    pub fn engine(&self) -> Option<&str> {
        self.text("engine")
    }

    /// What its engine speaks. A secret that names no engine is taken for PostgreSQL's.
    pub fn dialect(&self) -> Result<Dialect, LoginError> {
        match self.engine() {
            None => Ok(Dialect::Postgres),
            Some(engine) => Dialect::of(engine).ok_or_else(|| LoginError::Engine(engine.to_owned())),
        }
    }

    /// A secret of another engine would be logged in with by another protocol, which the database does not understand.
    pub fn must_be_of(&self, planned: Engine) -> Result<(), LoginError> {
        let spoken = self.dialect()?;
        if Dialect::of(planned.as_str()) == Some(spoken) {
            return Ok(());
        }
        Err(LoginError::OtherEngine { engine: self.engine().unwrap_or("none, which is PostgreSQL's").to_owned(), planned: planned.as_str() })
    }

    pub fn username(&self) -> Result<&str, LoginError> {
        self.text("username").ok_or(LoginError::Incomplete("username"))
    }

    pub fn password(&self) -> Result<&str, LoginError> {
        self.text("password").ok_or(LoginError::Incomplete("password"))
    }

    /// Where it logs in.
    pub fn endpoint(&self) -> Result<Endpoint, LoginError> {
        let host = self.text("host").ok_or(LoginError::Incomplete("host"))?;
        let port = match self.get("port") {
            None | Some(Value::Null) => Some(self.dialect()?.port()),
            Some(Value::Number(port)) => port.as_u64().and_then(|port| u16::try_from(port).ok()),
            Some(Value::String(port)) => port.parse().ok(),
            Some(_) => None,
        };
        Ok(Endpoint { host: host.to_owned(), port: port.ok_or(LoginError::Incomplete("port"))? })
    }

    /// The database that a login opens; `None` where the secret names none.
    pub fn database(&self) -> Option<&str> {
        self.text("dbname")
    }

    pub fn tls(&self) -> Tls {
        match self.get("ssl") {
            Some(Value::Bool(true)) => Tls::Required,
            Some(Value::Bool(false)) => Tls::Off,
            Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => Tls::Required,
            Some(Value::String(text)) if text.eq_ignore_ascii_case("false") => Tls::Off,
            _ => Tls::Preferred,
        }
    }

    /// ARN of the secret of the user that may create and alter users; its presence means alternating users.
    pub fn master_arn(&self) -> Option<&str> {
        self.text("masterarn")
    }

    /// Whether it has a `masterarn`, usable or not: who wrote one did not mean a single user.
    pub fn names_an_admin(&self) -> bool {
        self.get("masterarn").is_some_and(|held| !held.is_null())
    }

    /// The same credentials for another endpoint.
    pub fn at(&self, endpoint: &Endpoint) -> SecretValue {
        let mut value = self.clone();
        value.set("host", endpoint.host.clone().into());
        // An application that reads a string keeps reading a string.
        let port = if self.text("port").is_some() { endpoint.port.to_string().into() } else { endpoint.port.into() };
        value.set("port", port);
        value.fields.retain(|(key, _)| key != DIRECT);
        value
    }

    /// The same for applications that come through a proxy; where the database itself listens stays known.
    pub fn through(&self, proxy: &Endpoint) -> Result<SecretValue, LoginError> {
        let Endpoint { host, port } = self.endpoint()?;
        let mut value = self.at(proxy);
        value.set(DIRECT, format!("{host}:{port}").into());
        Ok(value)
    }

    /// The same for the database itself, whatever stands before it.
    pub fn direct(&self) -> SecretValue {
        let known = self.text(DIRECT).and_then(|text| text.rsplit_once(':')).and_then(|(host, port)| Some((host, port.parse().ok()?)));
        known.map_or_else(|| self.clone(), |(host, port)| self.at(&Endpoint { host: host.to_owned(), port }))
    }

    /// The same with another user's name and password, as another version has them.
    pub fn with_login_of(&self, other: &SecretValue) -> SecretValue {
        let mut value = self.clone();
        for key in ["username", "password"] {
            if let Some(held) = other.get(key) {
                value.set(key, held.clone());
            }
        }
        value
    }

    pub fn with_password(&self, password: &str) -> SecretValue {
        let mut value = self.clone();
        value.set("password", password.into());
        value
    }

    pub fn with_username(&self, username: &str) -> SecretValue {
        let mut value = self.clone();
        value.set("username", username.into());
        value
    }

    pub fn with_master_arn(&self, arn: &str) -> SecretValue {
        let mut value = self.clone();
        value.set("masterarn", arn.into());
        value
    }

    pub fn without_master_arn(&self) -> SecretValue {
        self.without("masterarn")
    }

    /// The same credentials for the database that another secret opens. Users belong to the server, and the admin's own
    /// database may not be there.
    pub fn in_database_of(&self, other: &SecretValue) -> SecretValue {
        match other.get("dbname") {
            Some(database) => {
                let mut value = self.clone();
                value.set("dbname", database.clone());
                value
            }
            None => self.without("dbname"),
        }
    }

    fn without(&self, unwanted: &str) -> SecretValue {
        let mut value = self.clone();
        value.fields.retain(|(key, _)| key != unwanted);
        value
    }

    /// The other of two alternating users.
    pub fn twin(&self) -> Result<String, LoginError> {
        let username = self.username()?;
        // Of a user `_clone` nothing would be left: it is a name like others.
        let first = username.strip_suffix(CLONE).filter(|first| !first.is_empty());
        let twin = first.map_or_else(|| format!("{username}{CLONE}"), str::to_owned);
        let longest = self.dialect()?.longest_name();
        if twin.len() > longest { Err(LoginError::NameTooLong { longest }) } else { Ok(twin) }
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.fields.iter().find(|(held, _)| held == key).map(|(_, value)| value)
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    fn set(&mut self, key: &str, value: Value) {
        match self.fields.iter_mut().find(|(held, _)| held == key) {
            Some((_, held)) => {
                wipe(held);
                *held = value;
            }
            None => self.fields.push((key.to_owned(), value)),
        }
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(..)")
    }
}

impl Zeroize for SecretValue {
    fn zeroize(&mut self) {
        self.fields.iter_mut().for_each(|(_, value)| wipe(value));
    }
}

impl Drop for SecretValue {
    fn drop(&mut self) {
        self.zeroize();
    }
}

impl ZeroizeOnDrop for SecretValue {}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(values) => values.iter_mut().for_each(wipe),
        Value::Object(fields) => fields.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// An ARN of the same secret in another Region: replicas differ in nothing else.
pub fn arn_in(arn: &str, region: &str) -> String {
    let parts: Vec<&str> = arn.split(':').enumerate().map(|(index, part)| if index == 3 { region } else { part }).collect();
    parts.join(":")
}

/// An object in its written order, which serde_json's own map would sort away. What was read of one that breaks off in the
/// middle is wiped as well.
struct Fields(SecretValue);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut read = SecretValue { fields: Vec::new() };
                while let Some((key, value)) = map.next_entry::<String, Value>()? {
                    if read.get(&key).is_some() {
                        // Two values under one key: which of them a reader takes is its own secret.
                        return Err(A::Error::custom("a key twice"));
                    }
                    read.fields.push((key, value));
                }
                Ok(Fields(read))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

struct Object<'a>(&'a [(String, Value)]);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in self.0 {
            map.serialize_entry(key, value).map_err(|_| S::Error::custom("a secret's field"))?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests;
