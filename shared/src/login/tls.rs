//! Whom a login trusts.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// The CAs of a PEM file, the system's where there is none. Read once, by the first login with TLS.
#[derive(Debug, Default)]
pub(super) struct Trust {
    ca_file: Option<PathBuf>,
    read: OnceLock<Result<Vec<CertificateDer<'static>>, String>>,
}

impl Trust {
    pub(super) fn of(ca_file: Option<PathBuf>) -> Trust {
        Trust { ca_file, read: OnceLock::new() }
    }

    /// Never empty.
    pub(super) fn certificates(&self) -> Result<&[CertificateDer<'static>], String> {
        let read = self.read.get_or_init(|| {
            let certificates = self.read()?;
            if certificates.is_empty() { Err("no CA to trust was found".to_owned()) } else { Ok(certificates) }
        });
        read.as_deref().map_err(Clone::clone)
    }

    fn read(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let Some(file) = &self.ca_file else {
            // A system's bundle may hold a few that rustls refuses; the others count.
            let native = rustls_native_certs::load_native_certs().certs;
            return Ok(native.into_iter().filter(|certificate| RootCertStore::empty().add(certificate.clone()).is_ok()).collect());
        };
        let held = CertificateDer::pem_file_iter(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
        let held = held.collect::<Result<Vec<_>, _>>().map_err(|error| format!("{} is no PEM file: {error}", file.display()))?;
        for certificate in &held {
            let usable = RootCertStore::empty().add(certificate.clone());
            usable.map_err(|error| format!("{} holds a certificate that is none: {error}", file.display()))?;
        }
        Ok(held)
    }

    /// The host's name is checked in any case.
    pub(super) fn client_config(&self) -> Result<ClientConfig, String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.certificates()?.iter().cloned());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
        Ok(config.with_root_certificates(roots).with_no_client_auth())
    }
}
