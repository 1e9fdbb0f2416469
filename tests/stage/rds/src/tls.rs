//! Certificates of the stage's servers, signed by a CA of its own, as RDS has one that nobody's trust store holds.

use crate::error::Error;

/// PEM texts of one stage; all servers answer at 127.0.0.1 and share one certificate.
pub(crate) struct Certificates {
    pub(crate) authority: String,
    pub(crate) server: String,
    pub(crate) key: String,
}

impl Certificates {
    pub(crate) fn make() -> Result<Certificates, Error> {
        let make = || -> Result<Certificates, rcgen::Error> {
            let mut authority = rcgen::CertificateParams::new(Vec::new())?;
            authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            authority.distinguished_name.push(rcgen::DnType::CommonName, "the stage's RDS");
            let authority_key = rcgen::KeyPair::generate()?;
            let certificate = authority.self_signed(&authority_key)?.pem();
            let issuer = rcgen::Issuer::new(authority, authority_key);
            let key = rcgen::KeyPair::generate()?;
            let server = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])?.signed_by(&key, &issuer)?;
            Ok(Certificates { authority: certificate, server: server.pem(), key: key.serialize_pem() })
        };
        make().map_err(|source| Error::Certificates { source })
    }
}
