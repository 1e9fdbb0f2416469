//! Whom a login trusts.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// TLS with the CAs of the file, the system's where there is none. The host's name is checked in any case.
pub(super) fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(file) => {
            let certificates = CertificateDer::pem_file_iter(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| format!("{} is no PEM file: {error}", file.display()))?;
                roots.add(certificate).map_err(|error| format!("{} holds a certificate that is none: {error}", file.display()))?;
            }
        }
        None => {
            // A system's bundle may hold a few that rustls refuses; the others count.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err("no CA to trust was found".to_owned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
