//! TLS to the broker: who is trusted, who we are.
//!
//! Enters: files that the owner names. Leaves: a configuration of rustls with ring, chosen here and nowhere else. The broker's
//! certificate is always verified against the given authority and its name; there is no switch that turns this off, and no list of
//! authorities comes with the program. Prevents: a key or password that other users of the machine can read.

use std::fs::File;
use std::io::{Read as _, Take};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};

/// Files of a protected connection.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Files {
    /// Certificates of the authorities that the broker's certificate must come from, PEM.
    pub ca: Option<PathBuf>,
    /// Our certificate and what is between it and the authority, PEM.
    pub cert: Option<PathBuf>,
    /// Its key, PEM; for its owner's eyes only.
    pub key: Option<PathBuf>,
    /// One line `user:password`, instead of or besides a certificate; for its owner's eyes only.
    pub login: Option<PathBuf>,
}

/// Largest file that is read, bytes.
const MOST: u64 = 256 * 1024;

impl Files {
    /// Whether any of them is about TLS.
    #[must_use]
    pub const fn protects(&self) -> bool {
        self.ca.is_some() || self.cert.is_some() || self.key.is_some()
    }

    /// What rustls needs.
    ///
    /// # Errors
    /// A file is missing, cannot be read, is none of its kind, or may be read by others: one sentence.
    pub fn config(&self) -> Result<Arc<ClientConfig>, String> {
        let ca = self.ca.as_deref().ok_or(
            "mqtts:// needs the certificate of the authority that the broker is to be verified by: give it with --ca",
        )?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates(ca)? {
            roots
                .add(certificate)
                .map_err(|e| format!("{}: a certificate cannot be used: {e}", ca.display()))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| format!("TLS cannot be used: {e}"))?
            .with_root_certificates(roots);
        let mut config = match (&self.cert, &self.key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(key)) => {
                builder.with_client_auth_cert(certificates(cert)?, private_key(key)?).map_err(|e| {
                    format!("{} and {} do not belong together: {e}", cert.display(), key.display())
                })?
            }
            (Some(_), None) => return Err("--cert needs --key".to_owned()),
            (None, Some(_)) => return Err("--key needs --cert".to_owned()),
        };
        // Tickets of earlier connections would be memory for nothing: an agent connects once in days.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Arc::new(config))
    }

    /// User and password.
    ///
    /// # Errors
    /// As [`Files::config`].
    pub fn login(&self) -> Result<Option<(String, String)>, String> {
        let Some(path) = &self.login else { return Ok(None) };
        let mut text = String::new();
        secret(path)?.read_to_string(&mut text).map_err(|e| said(path, &e))?;
        let line = text.lines().next().unwrap_or_default();
        let (user, password) = line
            .split_once(':')
            .filter(|(user, _)| !user.is_empty())
            .ok_or_else(|| format!("{}: expected one line user:password", path.display()))?;
        Ok(Some((user.to_owned(), password.to_owned())))
    }
}

fn said(path: &Path, error: &std::io::Error) -> String {
    let text = error.to_string();
    format!("{}: {}", path.display(), text.split(" (os error").next().unwrap_or(&text).to_lowercase())
}

fn read(path: &Path) -> Result<Take<File>, String> {
    File::open(path).map(|file| file.take(MOST)).map_err(|e| said(path, &e))
}

/// A file for its owner's eyes only.
fn secret(path: &Path) -> Result<Take<File>, String> {
    let file = read(path)?;
    let mode = file.get_ref().metadata().map_err(|e| said(path, &e))?.mode();
    if mode & 0o077 != 0 {
        return Err(format!("{}: others may read it: chmod 600 {}", path.display(), path.display()));
    }
    Ok(file)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut bytes = Vec::new();
    read(path)?.read_to_end(&mut bytes).map_err(|e| said(path, &e))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    all.ok()
        .filter(|all| !all.is_empty())
        .ok_or_else(|| format!("{}: holds no certificate in PEM", path.display()))
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let mut bytes = Vec::new();
    secret(path)?.read_to_end(&mut bytes).map_err(|e| said(path, &e))?;
    PrivateKeyDer::from_pem_slice(&bytes)
        .map_err(|_| format!("{}: holds no private key in PEM (without a password)", path.display()))
}

/// What an error of TLS means, as the end of a sentence that begins with the other side.
#[must_use]
pub fn explain(error: &rustls::Error) -> String {
    use rustls::Error as E;
    match error {
        E::InvalidCertificate(why) => match why {
            // The second: an authority of the same name with another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "cannot be trusted: its certificate is not from the given authority (CA)".to_owned()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "cannot be trusted: its certificate has expired; or is the clock of this device wrong?"
                    .to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "cannot be trusted: its certificate is not valid yet; is the clock of this device set?"
                    .to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "cannot be trusted: its certificate is for another name".to_owned()
            }
            CertificateError::Revoked => "cannot be trusted: its certificate was revoked".to_owned(),
            other => format!("cannot be trusted, its certificate is not valid: {other}"),
        },
        E::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::HandshakeFailure
            | AlertDescription::AccessDenied,
        ) => "does not let us in without a certificate that it knows".to_owned(),
        E::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError,
        ) => "does not accept our certificate".to_owned(),
        E::AlertReceived(AlertDescription::CertificateExpired) => {
            "says that our certificate has expired".to_owned()
        }
        E::AlertReceived(AlertDescription::CertificateRevoked) => {
            "says that our certificate was revoked".to_owned()
        }
        E::InvalidMessage(_) => "does not speak TLS on this port".to_owned(),
        other => format!("does not agree on TLS: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn secrets_that_others_may_read_are_refused() {
        let path = std::env::temp_dir().join(format!("slips-login-{}", std::process::id()));
        std::fs::write(&path, "router:pass:word\n").unwrap();
        let files = Files { login: Some(path.clone()), ..Files::default() };
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(files.login().unwrap_err().contains("others may read it: chmod 600"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(files.login(), Ok(Some(("router".to_owned(), "pass:word".to_owned()))));
        std::fs::write(&path, "no colon").unwrap();
        assert!(files.login().unwrap_err().ends_with("expected one line user:password"));
        std::fs::write(&path, "x").unwrap();
        let files = Files { ca: Some(path.clone()), ..Files::default() };
        assert!(files.config().unwrap_err().ends_with("holds no certificate in PEM"));
        assert!(Files::default().config().unwrap_err().contains("--ca"));
        std::fs::remove_file(&path).unwrap();
        assert!(files.config().unwrap_err().contains("no such file"));
    }
}
