//! Application records of a flow that wait for its end, as JSON under Zeek's names.

use serde::Serialize;

use super::objects::{Cert, Dhcp, Dns, Ftp, Http, Login, Smtp, Ssh, Tls};
use crate::record::{App, AppRecord};

/// Names of the arrays, in the order in which they are written.
const LOGS: [&str; 9] = ["dns", "ssl", "x509", "http", "ssh", "dhcp", "smtp", "ftp", "login"];
const DNS: usize = 0;
const SSL: usize = 1;
const X509: usize = 2;
const HTTP: usize = 3;
const SSH: usize = 4;
const DHCP: usize = 5;
const SMTP: usize = 6;
const FTP: usize = 7;
const LOGIN: usize = 8;

/// What waits for one flow.
#[derive(Default, Debug)]
pub struct Apps {
    /// Objects of each log, with commas between.
    logs: [Vec<u8>; LOGS.len()],
    count: usize,
}

impl Apps {
    /// Bytes that wait here.
    pub fn bytes(&self) -> usize {
        self.logs.iter().map(Vec::len).sum()
    }

    /// Records that wait here.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Keeps a record; returns the bytes that it takes.
    pub fn add(&mut self, app: &AppRecord<&str>) -> serde_json::Result<usize> {
        let before = self.bytes();
        self.count += 1;
        let ts_us = app.ts_us;
        match &app.body {
            App::Dns(x) => self.push(DNS, &Dns::of(ts_us, x))?,
            App::Tls(x) => {
                self.push(SSL, &Tls::of(ts_us, x))?;
                for cert in &x.certs {
                    self.push(X509, &Cert::of(ts_us, cert))?;
                }
            }
            App::Http(x) => self.push(HTTP, &Http::of(ts_us, x))?,
            App::Ssh(x) => self.push(SSH, &Ssh::of(ts_us, x))?,
            App::Dhcp(x) => self.push(DHCP, &Dhcp::of(ts_us, x))?,
            App::Smtp(x) => self.push(SMTP, &Smtp::of(ts_us, x))?,
            App::Ftp(x) => self.push(FTP, &Ftp::of(ts_us, x))?,
            App::Login(x) => self.push(LOGIN, &Login::of(ts_us, x))?,
        }
        Ok(self.bytes() - before)
    }

    fn push(&mut self, log: usize, object: &impl Serialize) -> serde_json::Result<()> {
        let Some(out) = self.logs.get_mut(log) else { return Ok(()) };
        if !out.is_empty() {
            out.push(b',');
        }
        serde_json::to_writer(out, object)
    }

    /// Appends the arrays to the members of an object that `line` ends with.
    pub fn write(&self, line: &mut Vec<u8>) {
        for (name, log) in LOGS.iter().zip(&self.logs).filter(|(_, log)| !log.is_empty()) {
            line.extend_from_slice(b",\"");
            line.extend_from_slice(name.as_bytes());
            line.extend_from_slice(b"\":[");
            line.extend_from_slice(log);
            line.push(b']');
        }
    }
}
