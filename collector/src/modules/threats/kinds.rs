//! Types of evidence of lists, in one table: what is looked up, what a list that says no level means, how sure it is.

use super::super::{Kind, Needs};
use crate::evidence::ThreatLevel;

const SOURCE: &str =
    "Slips 1.1.21, threat intelligence; ours joins an indicator of several lists and keeps the highest level";

/// One line a type: name, what it needs, level, what the list's own level does, confidence, source, rule.
macro_rules! kinds {
    ($($id:ident $name:literal $needs:expr, $level:ident $note:literal $confidence:literal $source:expr, $rule:literal;)*) => {
        $(pub const $id: Kind = Kind {
            name: $name,
            needs: $needs,
            rule: $rule,
            level: ThreatLevel::$level,
            level_note: $note,
            confidence: $confidence,
            keys: &["[threatintelligence] download_path_for_local_threat_intelligence", "[update] data_folder"],
            source: $source,
            proof: "collector/src/modules/threats/tests.rs",
        };)*
        /// All of them.
        pub const ALL: &[Kind] = &[$($id),*];
    };
}

#[rustfmt::skip]
kinds! {
    TO_IP "threat_intelligence_to_blacklisted_ip" &[Needs::Flows], Low "and the list's level, else medium, on the listed address" "1" SOURCE,
        "A flow to an address that is listed, or lies in a listed range (the narrowest counts). Not outgoing ICMP.";
    FROM_IP "threat_intelligence_from_blacklisted_ip" &[Needs::Flows], Medium "the list's level, else medium" "1" SOURCE,
        "A flow from an address that is listed, or lies in a listed range. Evidence on the listed address.";
    DOMAIN "threat_intelligence_blacklisted_domain" &[Needs::Dns, Needs::Tls, Needs::Http], High "the list's level, else high; the same on the first address it resolved to" "1; 0.7 below a listed domain" SOURCE,
        "A DNS question, TLS server name or HTTP host is listed or below a listed domain; not .arpa, not .local.";
    DNS_ANSWER "threat_intelligence_blacklisted_dns_answer" &[Needs::Dns], Medium "the list's level, else medium for an address and high for a name; the same on the address" "1; 0.7 for a name below a listed domain" SOURCE,
        "A DNS reply holds a listed address or canonical name.";
    ANSWER_OF_QUERY "threat_intelligence_answer_of_blacklisted_query" &[Needs::Dns], High "the list's level, else high; the same on each address" "1; 0.7 below a listed domain" SOURCE,
        "A DNS reply to a question for a listed name holds a public address.";
    JA3 "malicious_ja3" &[Needs::Tls], Medium "the list's level, else medium" "1" SOURCE,
        "The JA3 of a TLS client is listed.";
    JA3S "malicious_ja3s" &[Needs::Tls], Low "and the list's level, else medium, on the server" "1" SOURCE,
        "The JA3S of a TLS server is listed.";
    JA4 "malicious_ja4" &[Needs::Tls], Medium "the list's level, else medium" "1" "own, as JA3",
        "The JA4 of a TLS client is listed.";
    CERT "malicious_ssl_cert" &[Needs::Tls], Low "and the list's level, else high, on the server" "1" SOURCE,
        "The SHA-1 or SHA-256 of a certificate that a TLS server showed is listed.";
    FILE "malicious_downloaded_file" &[Needs::Notes], High "the list's level, else high; the same on the sender" "1" SOURCE,
        "The MD5, SHA-1 or SHA-256 of a file that Zeek or Suricata saw is listed.";
    URL "threat_intelligence_malicious_url" &[Needs::Http], Medium "the list's level, else medium; the same on the server" "0.7" SOURCE,
        "The URL of an HTTP request (host, port and path; the scheme does not count) is listed.";
    ASN "threat_intelligence_blacklisted_asn" &[Needs::Flows], Medium "the list's level, else medium; the same on the address" "0.8" "Slips 1.1.21, where it ends the module instead of being raised",
        "A flow to an address whose autonomous system is listed. Needs a database ([geoip] databases). Not what is listed by address.";
    TOR "tor_exit_node" &[Needs::Flows], Info "and info on the exit" "1" "Slips 1.1.21",
        "A flow to an address that is an exit of Tor (feeds of that use in models/feeds.csv).";
    DOH "dns_over_https" &[Needs::Tls], Info "" "0.9" "Slips 1.1.21, where it is a kind of DIFFERENT_LOCALNET",
        "TLS to a known server of DNS over HTTPS, by its name or address on port 443 (feeds of that use in models/feeds.csv): names asked there cannot be seen here.";
}
