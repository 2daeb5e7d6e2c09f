use std::io::Cursor;
use std::path::Path;

use slips_agent::record::{ConnState, Service, proto};

use super::*;
use crate::input::testing::{Dice, Outcome, public_data, read};
use crate::input::{NoteBody, Record};

const HEADER: &str = "StartTime,Dur,Proto,SrcAddr,Sport,Dir,DstAddr,Dport,State,sTos,dTos,TotPkts,TotBytes,SrcBytes,SrcPkts,Label\n";

fn open(content: &[u8], format: Option<&str>) -> Result<Argus, Error> {
    let stream =
        Stream::over("a.binetflow".to_owned(), Box::new(Cursor::new(content.to_vec())), None).unwrap();
    Argus::over(stream, format)
}

fn text(content: &str) -> Outcome {
    read(&mut open(content.as_bytes(), None).unwrap())
}

fn file(path: &Path) -> Outcome {
    read(&mut Argus::over(Stream::open(path).unwrap(), None).unwrap())
}

#[test]
fn a_record_with_all_columns() {
    let got = text(&format!(
        "{HEADER}2019/04/04 16:24:47.672448,63.822830,tcp,10.8.0.69,56101,   ->,14.1.11.113,999,FSPA_FSPA,0,0,31,8764,1887,15,flow=From-Botnet\n"
    ));
    let flow = got.kept.flows()[0];
    assert_eq!(
        (flow.start_us, flow.duration_us, flow.emitted_us),
        (1_554_395_087_672_448, 63_822_830, 1_554_395_151_495_278)
    );
    assert_eq!((flow.tuple.orig_port, flow.tuple.resp_port, flow.state), (56101, 999, ConnState::Sf));
    assert_eq!(
        (flow.orig.pkts, flow.orig.ip_bytes, flow.resp.pkts, flow.resp.payload_bytes),
        (15, 1887, 16, 6877)
    );
    assert_eq!(flow.service, Service::UNSEEN);
    let NoteBody::Label(label) = &got.kept.notes()[0].body else { panic!() };
    assert_eq!(&*label.label, "flow=From-Botnet");
    assert!(matches!(got.kept.0[0], Record::Note(_)));
}

#[test]
fn any_order_names_and_separator() {
    let one = text(
        "Label\tDstAddr\tSrcAddr\tProto\tStartTime\tState\tDport\tSport\tDur\tTotBytes\tTotPkts\tSrcBytes\n\t10.0.0.2\t10.0.0.1\tudp\t1545141600.5\tCON\t53\t5000\t0.25\t200\t3\t80\n",
    );
    let two = text(
        "stime;dur;proto;saddr;sport;dir;daddr;dport;state;spkts;dpkts;sbytes;dbytes\n1545141600.5;0.25;udp;10.0.0.1;5000;<->;10.0.0.2;53;CON;2;1;80;120\n",
    );
    assert_eq!(one.kept.0, two.kept.0);
    let flow = one.kept.flows()[0];
    assert_eq!((flow.orig.pkts, flow.resp.pkts, flow.orig.ip_bytes, flow.resp.ip_bytes), (2, 1, 80, 120));
    let ends = text(
        "StartTime,LastTime,Proto,SrcAddr,DstAddr,SrcMac,sVid\n10,12.5,tcp,10.0.0.1,10.0.0.2,00:0c:29:66:c7:82,7\n",
    );
    let flow = ends.kept.flows()[0];
    assert_eq!((flow.duration_us, flow.vlan, flow.orig_mac.is_some()), (2_500_000, Some(7), true));
}

#[test]
fn files_without_header() {
    let line = "2013/10/21 13:22:59.340835,3596.604980,tcp,147.32.83.53,60686,  <?>,147.32.80.88,5222,PA_PA,0,0,448,49634";
    for (more, srcbytes, label) in [
        ("", 24817, false),
        (",40000", 40000, false),
        (",40000,Botnet", 40000, true),
        (",40000,,Botnet", 40000, true),
        (",40000,200", 40000, false),
    ] {
        let got = text(&format!("{line}{more}\n{line}{more}\n"));
        assert_eq!(got.kept.flows().len(), 2, "{more}");
        assert_eq!(
            (got.kept.flows()[0].orig.ip_bytes, got.kept.notes().len()),
            (srcbytes, if label { 2 } else { 0 }),
            "{more}"
        );
    }
}

#[test]
fn icmp_arp_and_what_is_no_flow() {
    let got = text(&format!(
        "{HEADER}2019/04/04 16:30:10.2,1.2,icmp,10.8.0.69,0x0008,   ->,110.128.128.128,0x7208,ECO,0,,2,144,144,2,\n\
         2019/04/04 16:30:11.2,0,icmp,10.0.0.1,0x0303,   ->,10.0.0.2,0xfe25,URP,0,,1,70,70,1,\n\
         2019/04/04 16:30:12.2,0,ipv6-icmp,::,135,   ->,ff02::1:ff95:f857,0,NNS,0,,2,156,156,2,\n\
         2019/04/04 16:30:13.2,0,icmp,192.168.1.109,0x0000,  <-,192.168.1.130,0x9ac7,ECR,,0,1,42,0,0,\n\
         2019/04/04 16:30:14.2,0,igmp,10.8.0.69,,   ->,0.0.0.1,,INT,192,,15,600,600,15,\n\
         2019/04/04 16:30:15.2,3,arp,192.168.1.1,,  who,192.168.1.27,,CON,,,4,168,84,2,\n\
         2019/04/04 16:30:16.2,0,arp,172.16.0.107,,  who,172.16.0.1,,RSP,,,1,60,0,0,\n\
         2019/04/04 16:30:17.2,0,man,0,0,   ->,0,0,STA,,,0,0,0,0,\n\
         2019/04/04 16:30:18.2,0,llc,00:00:00:00:00:00,0,   ->,00:00:00:00:00:00,0,INT,,,1,60,60,1,\n\
         2019/04/04 16:30:19.2,0,0x88cc,00:00:00:00:00:01,0,   ->,01:00:00:00:00:00,0,INT,,,1,60,60,1,\n{HEADER}"
    ));
    let flows: Vec<_> = got
        .kept
        .flows()
        .iter()
        .map(|f| {
            (
                f.tuple.proto,
                f.tuple.orig_port,
                f.tuple.resp_port,
                f.tuple.orig_addr.to_string(),
                f.established(),
            )
        })
        .collect();
    assert_eq!(
        flows,
        [
            (proto::ICMP, 8, 0, "10.8.0.69".to_owned(), true),
            (proto::ICMP, 3, 3, "10.0.0.1".to_owned(), false),
            (proto::ICMPV6, 135, 0, "::".to_owned(), false),
            (proto::ICMP, 0, 0, "192.168.1.130".to_owned(), false),
            (proto::IGMP, 0, 0, "10.8.0.69".to_owned(), false),
        ]
    );
    let arps: Vec<_> = got
        .kept
        .0
        .iter()
        .filter_map(|r| {
            if let Record::Arp(a) = r { Some((a.operation, a.sender_addr.to_string())) } else { None }
        })
        .collect();
    assert_eq!(arps, [(1, "192.168.1.1".to_owned()), (2, "172.16.0.1".to_owned())]);
    assert_eq!((got.totals.bad_records, got.totals.losses.get("not_ip")), (0, Some(&2)));
}

#[test]
fn bad_lines_and_wrong_files() {
    let good = "2019/04/04 16:24:47.672448,63.822830,tcp,10.8.0.69,56101,   ->,14.1.11.113,999,S_,0,0,31,8764,1887,15,\n";
    let got = text(&format!(
        "{HEADER}{}2019/04/04 16:24:47.672448,63.8,tcp,10.8.0.69,99999,   ->,14.1.11.113,999,S_,0,0,31,8764,1887,15,\n2019/04/04 16:24:47,63,tcp,10.8.0.69\n16:24,63,tcp,10.8.0.69,1,->,10.0.0.1,2,S_,0,0,3,8,1,1,\n",
        good.repeat(5)
    ));
    assert_eq!((got.kept.flows().len(), got.totals.bad_records), (5, 3));
    assert_eq!(
        got.said[0],
        "a.binetflow:7:47: sport: found \"99999,   ->,14.1.11.113,999,S_,0,0,31,87…\", expected a port from 0 to 65535, or hexadecimal with 0x"
    );
    assert!(got.said[2].starts_with("a.binetflow:9:1: starttime: found \"16:24,63"), "{:?}", got.said);
    let refused = |content: String| open(content.as_bytes(), None).err().unwrap().to_string();
    assert!(
        refused("one two\n".to_owned()).starts_with("a.binetflow:1: neither a header nor a record of Argus")
    );
    assert_eq!(refused(String::new()), "a.binetflow: is empty, flow records of Argus were expected");
    assert!(refused(format!("{HEADER}{good}{}", "x,y\n".repeat(3))).starts_with(
        "a.binetflow: 3 of the first 4 lines are no records of Argus; first at a.binetflow:3:4:"
    ));
    // A time in a format of its own: only with [timestamp] format.
    let own = format!("{HEADER}{}", good.replace("2019/04/04 16:24:47.672448", "04.04.2019 16h24"));
    assert_eq!(
        read(&mut open(own.as_bytes(), Some("%d.%m.%Y %Hh%M")).unwrap()).kept.flows()[0].start_us,
        1_554_395_040_000_000
    );
}

#[test]
fn public_files_are_read_whole() {
    let Some(data) = public_data() else { return };
    for (path, flows, sources) in [
        ("slips/test2-malicious.binetflow", 6751, 5),
        ("slips/test3-mixed.binetflow", 89, 28),
        ("slips/test11-portscan.binetflow", 66, 1),
        ("slips-0.7.1/Normal/2013-10-21_capture-1.binetflow", 2398, 0),
        ("slips-0.7.1/Malicious/CTU-Malware-Capture-Botnet-207-1", 23_602, 77),
        ("slips-0.7.1/test-sality.binetflow", 1005, 0),
    ] {
        let got = file(&data.join(path));
        let arps = got.kept.0.iter().filter(|r| matches!(r, Record::Arp(_))).count();
        let not_ip = got.totals.losses.get("not_ip").copied().unwrap_or_default();
        assert_eq!(got.kept.flows().len() + arps + usize::try_from(not_ip).unwrap(), flows, "{path}");
        assert_eq!(got.totals.bad_records, 0, "{path}: {:?}", got.said);
        let mut addrs: Vec<_> = got.kept.flows().iter().map(|f| f.tuple.orig_addr).collect();
        addrs.sort();
        addrs.dedup();
        if sources > 0 && arps == 0 {
            assert_eq!(addrs.len(), sources, "{path}");
        }
    }
    // The same capture, comma- and tab-separated.
    let at = |name: &str| file(&data.join("formats/reference/test12-icmp-portscan").join(name)).kept.0;
    assert_eq!(at("flows.binetflow"), at("flows.tabs.binetflow"));
}

#[test]
fn no_bytes_can_harm() {
    let seed = format!(
        "{HEADER}2019/04/04 16:24:47.672448,63.822830,tcp,10.8.0.69,56101,   ->,14.1.11.113,999,S0,0,0,31,8764,1887,15,x\n1970/01/01 01:00:11.042909,15.609640,arp,192.168.1.110,,  who,192.168.1.2,,CON,,,22,924,462,,\n"
    );
    let mut dice = Dice(0xa1905);
    for _ in 0..5000 {
        let mut bytes = seed.clone().into_bytes();
        dice.damage(&mut bytes);
        if let Ok(mut argus) = open(&bytes, None) {
            let _ = read(&mut argus);
        }
    }
}
