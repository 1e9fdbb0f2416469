//! Certificates of the stage's servers, signed by a CA of its own, as RDS has one that nobody's trust store holds.

use crate::error::Error;
use crate::home::Home;
use std::path::PathBuf;

/// PEM texts of one stage; all servers answer at 127.0.0.1 and share one certificate.
pub(crate) struct Certificates {
    pub(crate) authority: String,
    pub(crate) server: String,
    pub(crate) key: String,
}

/// Where they lie for one engine's servers.
pub(crate) struct CertificateFiles {
    pub(crate) authority: PathBuf,
    pub(crate) server: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificates {
    pub(crate) fn write(&self, home: &Home) -> Result<CertificateFiles, Error> {
        let files = CertificateFiles { authority: home.file("rds-ca.pem"), server: home.file("server.crt"), key: home.file("server.key") };
        for (file, text) in [(&files.authority, &self.authority), (&files.server, &self.server), (&files.key, &self.key)] {
            home.write(file, text)?;
        }
        Ok(files)
    }

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
