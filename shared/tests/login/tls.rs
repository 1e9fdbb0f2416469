//! Certificates of the tests' own.

/// A CA, a server's certificate for 127.0.0.1 by it, and a CA that signed nothing; all as PEM.
pub(crate) struct Certificates {
    pub(crate) ca: String,
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) stranger: String,
}

impl Certificates {
    pub(crate) fn make() -> Certificates {
        let authority = |name: &str| {
            let mut params = rcgen::CertificateParams::new(Vec::new()).expect("a certificate");
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            let key = rcgen::KeyPair::generate().expect("a key");
            let pem = params.self_signed(&key).expect("a certificate").pem();
            (pem, rcgen::Issuer::new(params, key))
        };
        let (ca, issuer) = authority("the databases' CA");
        let (stranger, _) = authority("a stranger");
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a certificate");
        let certificate = params.signed_by(&key, &issuer).expect("a certificate").pem();
        Certificates { ca, certificate, key: key.serialize_pem(), stranger }
    }
}
