//! The fields of eve.json that are read, for the event itself and for its parts.

use crate::input::text::form::Form;
use crate::input::text::row::columns;

columns! { pub EVENT:
    TIMESTAMP = 0 "timestamp";
    FLOW_ID = 1 "flow_id";
    EVENT_TYPE = 2 "event_type";
    SRC_IP = 3 "src_ip";
    SRC_PORT = 4 "src_port";
    DEST_IP = 5 "dest_ip";
    DEST_PORT = 6 "dest_port";
    PROTO = 7 "proto";
    APP_PROTO = 8 "app_proto";
    ICMP_TYPE = 9 "icmp_type";
    ICMP_CODE = 10 "icmp_code";
    VLAN = 11 "vlan";
    TX_ID = 12 "tx_id";
    DIRECTION = 13 "direction";
    ETHER = 14 "ether";
    PARENT = 15 "parent_id";
    FLOW = 16 "flow";
    TCP = 17 "tcp";
    DNS = 18 "dns" | "mdns";
    TLS = 19 "tls";
    HTTP = 20 "http";
    SSH = 21 "ssh";
    FILEINFO = 22 "fileinfo";
    ALERT = 23 "alert";
    SMTP = 24 "smtp";
    DHCP = 25 "dhcp";
    QUIC = 26 "quic";
    MQTT = 27 "mqtt";
    ANOMALY = 28 "anomaly";
    STATS = 29 "stats";
    FTP = 30 "ftp";
    ARP = 31 "arp";
}

columns! { pub FLOW_PART:
    PKTS_TOSERVER = 0 "pkts_toserver";
    PKTS_TOCLIENT = 1 "pkts_toclient";
    BYTES_TOSERVER = 2 "bytes_toserver";
    BYTES_TOCLIENT = 3 "bytes_toclient";
    START = 4 "start";
    END = 5 "end";
    STATE = 6 "state";
    FLOW_SRC = 7 "src_ip";
    FLOW_SRC_PORT = 9 "src_port";
}

columns! { pub TCP_PART:
    FLAGS_TS = 0 "tcp_flags_ts";
    FLAGS_TC = 1 "tcp_flags_tc";
}

columns! { pub DNS_PART:
    DNS_TYPE = 0 "type";
    DNS_ID = 1 "id";
    RRNAME = 2 "rrname";
    RRTYPE = 3 "rrtype";
    RCODE = 4 "rcode";
    ANSWERS = 5 "answers";
    GROUPED = 6 "grouped";
    QUERIES = 7 "queries" | "query";
    RDATA = 8 "rdata";
    TTL = 9 "ttl";
    AA = 10 "aa";
    TC = 11 "tc";
    RD = 12 "rd";
    RA = 13 "ra";
    DNS_VERSION = 14 "version";
}

columns! { pub TLS_PART:
    SUBJECT = 0 "subject";
    ISSUER = 1 "issuerdn";
    FINGERPRINT = 2 "fingerprint";
    SNI = 3 "sni";
    TLS_VERSION = 4 "version";
    NOT_BEFORE = 5 "notbefore";
    NOT_AFTER = 6 "notafter";
    JA3 = 7 "ja3";
    JA3S = 8 "ja3s";
    JA4 = 9 "ja4";
    RESUMED = 10 "session_resumed";
    SERVER_ALPNS = 11 "server_alpns";
    CLIENT_ALPNS = 12 "client_alpns";
    SANS = 13 "subjectaltname";
    CHAIN = 14 "chain";
}

columns! { pub HTTP_PART:
    HOSTNAME = 0 "hostname";
    URL = 1 "url";
    USER_AGENT = 2 "http_user_agent";
    CONTENT_TYPE = 3 "http_content_type";
    REFER = 4 "http_refer";
    METHOD = 5 "http_method";
    PROTOCOL = 6 "protocol";
    STATUS = 7 "status";
    LENGTH = 8 "length";
    REQUEST_LENGTH = 9 "request_body_len";
    HTTP_VERSION = 10 "version";
}

columns! { pub SSH_PART:
    CLIENT = 0 "client";
    SERVER = 1 "server";
}

columns! { pub SSH_END:
    PROTO_VERSION = 0 "proto_version";
    SOFTWARE = 1 "software_version";
    HASSH = 2 "hassh";
}

columns! { pub FILE_PART:
    FILENAME = 0 "filename";
    SIZE = 2 "size";
    MD5 = 3 "md5";
    SHA1 = 4 "sha1";
    SHA256 = 5 "sha256";
    MIME = 6 "mimetype";
}

columns! { pub ALERT_PART:
    ACTION = 0 "action";
    GID = 1 "gid";
    SID = 2 "signature_id";
    REV = 3 "rev";
    SIGNATURE = 4 "signature";
    CATEGORY = 5 "category";
    SEVERITY = 6 "severity";
}

columns! { pub SMTP_PART:
    HELO = 0 "helo";
    MAIL_FROM = 1 "mail_from";
    RCPT_TO = 2 "rcpt_to";
}

columns! { pub DHCP_PART:
    KIND = 0 "type";
    CLIENT_MAC = 1 "client_mac";
    ASSIGNED = 2 "assigned_ip";
    DHCP_TYPE = 4 "dhcp_type";
    ROUTERS = 5 "routers";
    HOST_NAME = 6 "hostname";
    REQUESTED = 7 "requested_ip";
    LEASE = 8 "lease_time";
    SERVER_IP = 9 "server_ip" | "next_server_ip";
    VENDOR = 10 "vendor_class_identifier";
}

columns! { pub QUIC_PART:
    QUIC_SNI = 0 "sni";
    QUIC_JA3 = 1 "ja3";
    QUIC_JA4 = 2 "ja4";
    QUIC_JA3S = 3 "ja3s";
}

columns! { pub ANOMALY_PART:
    ANOMALY_TYPE = 0 "type";
    ANOMALY_EVENT = 1 "event";
    ANOMALY_CODE = 2 "code";
}

columns! { pub FTP_PART:
    COMMAND = 0 "command";
    COMMAND_DATA = 1 "command_data";
    COMPLETION = 2 "completion_code";
    REPLY = 3 "reply";
}

columns! { pub ARP_PART:
    OPCODE = 0 "opcode";
    ARP_SRC_MAC = 1 "src_mac";
    ARP_SRC_IP = 2 "src_ip";
    ARP_DEST_MAC = 3 "dest_mac";
    ARP_DEST_IP = 4 "dest_ip";
}

columns! { pub ETHER_PART:
    SRC_MAC = 0 "src_mac" | "src_macs";
    DEST_MAC = 1 "dest_mac" | "dest_macs";
}

/// What an event is read into, with all its parts.
#[derive(Clone, Debug)]
pub struct Forms {
    /// The event.
    pub event: Form,
    /// An element of a list in the part of a DNS event: a question or an answer.
    pub element: Form,
}

impl Default for Forms {
    fn default() -> Self {
        let ssh = Form::new(SSH_PART).with(CLIENT, Form::new(SSH_END)).with(SERVER, Form::new(SSH_END));
        let event = Form::new(EVENT)
            .with(FLOW, Form::new(FLOW_PART))
            .with(TCP, Form::new(TCP_PART))
            .with(DNS, Form::new(DNS_PART))
            .with(TLS, Form::new(TLS_PART))
            .with(HTTP, Form::new(HTTP_PART))
            .with(SSH, ssh)
            .with(FILEINFO, Form::new(FILE_PART))
            .with(ALERT, Form::new(ALERT_PART))
            .with(SMTP, Form::new(SMTP_PART))
            .with(DHCP, Form::new(DHCP_PART))
            .with(QUIC, Form::new(QUIC_PART))
            .with(ANOMALY, Form::new(ANOMALY_PART))
            .with(FTP, Form::new(FTP_PART))
            .with(ARP, Form::new(ARP_PART))
            .with(ETHER, Form::new(ETHER_PART));
        Self { event, element: Form::new(DNS_PART) }
    }
}
