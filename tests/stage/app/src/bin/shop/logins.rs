//! The log of logins: one JSON line each, so that a test can prove that none failed for its secret.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    process,
};

use jiff::Timestamp;
use serde::Serialize;

use crate::settings::Settings;

pub(crate) struct LoginLog {
    file: Option<File>,
    region: String,
    tag: String,
}

/// How a login ended: `ok`, the database's refusal, or no answer at all.
pub(crate) enum Outcome<'a> {
    Ok,
    Refused { sqlstate: &'a str },
    NoAnswer { reason: &'a str },
}

#[derive(Serialize)]
struct Line<'a> {
    time: Timestamp,
    region: &'a str,
    tag: &'a str,
    pid: u32,
    secret_version: &'a str,
    address: &'a str,
    user: &'a str,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    sqlstate: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl LoginLog {
    pub(crate) fn open(settings: &Settings) -> io::Result<Self> {
        let open = |path| OpenOptions::new().create(true).append(true).open(path);
        Ok(Self { file: settings.login_log.as_ref().map(open).transpose()?, region: settings.region.clone(), tag: settings.tag.clone() })
    }

    pub(crate) fn write(&self, version: &str, address: &str, user: &str, outcome: &Outcome<'_>) {
        let Some(mut file) = self.file.as_ref() else {
            return;
        };
        let (ok, sqlstate, reason) = match *outcome {
            Outcome::Ok => (true, None, None),
            Outcome::Refused { sqlstate } => (false, Some(sqlstate), None),
            Outcome::NoAnswer { reason } => (false, None, Some(reason)),
        };
        let line = Line {
            time: Timestamp::now(),
            region: &self.region,
            tag: &self.tag,
            pid: process::id(),
            secret_version: version,
            address,
            user,
            ok,
            sqlstate,
            reason,
        };
        // One write a line: all processes append to one file, and a short append is whole.
        let written = serde_json::to_string(&line).map_err(io::Error::from).and_then(|line| file.write_all(format!("{line}\n").as_bytes()));
        if let Err(error) = written {
            eprintln!("shop: the login log cannot be written: {error}");
        }
    }
}
