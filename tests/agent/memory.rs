//! Memory of the sensor: taken at its start, never after, whatever comes.
//!
//! A test binary of its own, since it replaces the allocator by one that counts. Counted is what the thread under test
//! allocates while it is inside the sensor; reading the capture and keeping results are not.
#![allow(dead_code, reason = "each binary uses its part of the shared helpers")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends by panicking")]

#[path = "../support/mod.rs"]
mod support;

use std::cell::Cell;
use std::sync::{Mutex, MutexGuard, PoisonError};

use slips_agent::capture::Reader;
use slips_agent::capture::filter::Filter;
use slips_agent::ledger::Ledger;
use slips_agent::packet::LinkType;
use slips_agent::record::{FlowKind, Record};
use slips_agent::sensor::{Sensor, SensorConfig};

use counting::allocations;

mod features;
mod reports;

mod counting {
    #![allow(unsafe_code, reason = "an allocator can only be replaced by unsafe code")]

    use std::alloc::{GlobalAlloc, Layout, System};
    use std::cell::Cell;

    thread_local! {
        static COUNT: Cell<u64> = const { Cell::new(0) };
        static BYTES: Cell<i64> = const { Cell::new(0) };
    }

    /// Allocations of this thread so far.
    pub fn allocations() -> u64 {
        COUNT.with(Cell::get)
    }

    /// Bytes that this thread has allocated and not freed.
    pub fn bytes() -> i64 {
        BYTES.with(Cell::get)
    }

    struct Counting;

    fn count() {
        COUNT.with(|n| n.set(n.get() + 1));
    }

    fn move_bytes(more: usize, less: usize) {
        BYTES.with(|n| n.set(n.get() + more as i64 - less as i64));
    }

    // SAFETY: every call is passed on unchanged to the system allocator, which keeps the contract; the counters are
    // thread-local cells without destructor and allocate nothing.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            count();
            move_bytes(layout.size(), 0);
            // SAFETY: the caller's promise is passed on.
            unsafe { System.alloc(layout) }
        }
        unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
            move_bytes(0, layout.size());
            // SAFETY: the caller's promise is passed on.
            unsafe { System.dealloc(ptr, layout) }
        }
        unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
            count();
            move_bytes(new_size, layout.size());
            // SAFETY: the caller's promise is passed on.
            unsafe { System.realloc(ptr, layout, new_size) }
        }
    }

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;
}

/// The kernel counts the memory of the whole process, so one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was opened is over or still open; flows say the same as the counters.
fn books(ledger: &Ledger, open: usize, finals: u64) {
    let over = ledger.flows_ended + ledger.flows_expired + ledger.flows_evicted;
    assert_eq!(ledger.flows_opened, over + open as u64, "{ledger:?}");
    assert_eq!(over, finals, "{ledger:?}");
}

#[test]
fn reading_and_filtering_allocate_nothing() {
    let filter = Filter::parse("tcp port 80 or (udp and not net 10.0.0.0/8) or arp").unwrap();
    let mut packets = 0;
    for capture in support::captures() {
        // What is packed is unpacked in buffers of its own.
        if capture.extension().is_none_or(|e| e != "pcap") {
            continue;
        }
        let mut reader = Reader::open(&capture).unwrap();
        // In front of the first packet a pcapng file announces its interfaces, which are remembered.
        let _ = reader.next_packet();
        let before = allocations();
        let mut passed = 0u64;
        while let Ok(Some(f)) = reader.next_packet() {
            passed += u64::from(filter.passes(f.link, f.bytes, f.wire_len));
            packets += 1;
        }
        assert_eq!(allocations(), before, "{}", capture.display());
        assert!(passed <= reader.packets());
    }
    assert!(packets > 1000);
}

#[test]
fn nothing_is_allocated_over_real_captures_and_the_books_balance() {
    let _alone = alone();
    let captures = support::captures();
    assert!(!captures.is_empty(), "the repository's own captures are missing");
    let mut packets = 0;
    for capture in &captures {
        let Ok(mut reader) = Reader::open(capture) else { continue };
        // Small tables, so that eviction takes part.
        for flows in [8192, 50] {
            let mut sensor = Sensor::new(&SensorConfig::for_capacity(flows));
            let (finals, flow_packets, inside) = (Cell::new(0u64), Cell::new(0u64), Cell::new(0u64));
            let mut sink = |record: Record<'_>| {
                if let Record::Flow(f) = record
                    && f.kind == FlowKind::Final
                {
                    finals.set(finals.get() + 1);
                    flow_packets.set(flow_packets.get() + f.pkts());
                    inside.set(inside.get() + u64::from(f.parent.is_some()));
                }
            };
            while let Ok(Some(frame)) = reader.next_packet() {
                let before = allocations();
                sensor.packet(frame.ts_us, frame.link, frame.bytes, frame.wire_len, &mut sink);
                assert_eq!(allocations(), before, "{}", capture.display());
            }
            books(sensor.ledger(), sensor.open_flows(), finals.get());
            let before = allocations();
            sensor.finish(&mut sink);
            assert_eq!(allocations(), before, "{}", capture.display());
            let l = *sensor.ledger();
            books(&l, 0, finals.get());
            packets += l.packets;
            // Every frame is somewhere: in a flow, in a counter, or part of a datagram.
            if inside.get() == 0 && l.tunnels == 0 {
                let fragments = l.fragments_joined + l.fragments_lost;
                let elsewhere = l.not_understood_total() + l.arp + l.without_flow;
                let seen = flow_packets.get() + elsewhere;
                assert!(seen <= l.packets && seen + fragments >= l.packets, "{}: {l:?}", capture.display());
                assert!(fragments > 0 || seen == l.packets, "{}: {l:?}", capture.display());
            }
            reader = Reader::open(capture).unwrap();
        }
    }
    println!("{packets} packets of {} captures, none allocated", captures.len());
}

/// A small generator, so that the flood is the same everywhere (xorshift, Marsaglia 2003).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Ethernet, IPv4, and `transport` as the body.
fn frame(src: u32, dst: u32, proto: u8, transport: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
    out.extend_from_slice(&[0x45, 0]);
    out.extend_from_slice(&(20 + transport.len() as u16).to_be_bytes());
    out.extend_from_slice(&[0, 0, 0, 0, 64, proto, 0, 0]);
    out.extend_from_slice(&src.to_be_bytes());
    out.extend_from_slice(&dst.to_be_bytes());
    out.extend_from_slice(transport);
}

fn tcp(src_port: u16, dst_port: u16, seq: u32, ack: u32, flags: u8, payload: usize) -> Vec<u8> {
    let mut t = Vec::new();
    t.extend_from_slice(&src_port.to_be_bytes());
    t.extend_from_slice(&dst_port.to_be_bytes());
    t.extend_from_slice(&seq.to_be_bytes());
    t.extend_from_slice(&ack.to_be_bytes());
    t.extend_from_slice(&[0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    t.resize(t.len() + payload, b'x');
    t
}

/// Resident memory of this process, from the kernel.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[test]
fn a_million_random_tuples_change_neither_memory_nor_what_is_in_use() {
    let _alone = alone();
    const PACKETS: u64 = 1_000_000;
    let mut sensor = Sensor::new(&SensorConfig { hash_seed: 7, ..SensorConfig::default() });
    let (finals, kept) = (Cell::new(0u64), Cell::new(None));
    let mut sink = |record: Record<'_>| {
        if let Record::Flow(f) = record
            && f.kind == FlowKind::Final
        {
            finals.set(finals.get() + 1);
            if (f.tuple.orig_port, f.tuple.resp_port) == (40_000, 4433) && f.resp.pkts > 0 {
                assert!(kept.get().is_none(), "the connection in use was cut");
                kept.set(Some((f.orig.payload_bytes, f.orig.pkts, f.state)));
            }
        }
    };
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut bytes = Vec::with_capacity(2048);
    let (client, server) = (0x0a00_0001, 0x0a00_0002);
    let mut now_us = 1_000_000_000;
    let mut send = |sensor: &mut Sensor, now_us, src, dst, proto, transport: &[u8]| {
        frame(src, dst, proto, transport, &mut bytes);
        let before = allocations();
        sensor.packet(now_us, LinkType::Ethernet, &bytes, bytes.len() as u32, &mut sink);
        assert_eq!(allocations(), before);
    };
    // A connection that is in use all the time: one segment every thousand packets of the flood.
    send(&mut sensor, now_us, client, server, 6, &tcp(40_000, 4433, 99, 0, 2, 0));
    send(&mut sensor, now_us, server, client, 6, &tcp(4433, 40_000, 499, 100, 18, 0));
    let mut sent = 0;
    let mut warm = 0;
    let begun = std::time::Instant::now();
    for n in 0..PACKETS {
        now_us += 10;
        if n % 1000 == 0 {
            send(&mut sensor, now_us, client, server, 6, &tcp(40_000, 4433, 100 + sent * 50, 500, 16, 50));
            sent += 1;
        }
        let (a, b, c) = (random.next(), random.next(), random.next());
        let (src, dst) = (a as u32, (a >> 32) as u32);
        let (src_port, dst_port) = (b as u16, (b >> 16) as u16);
        match c % 4 {
            0 => send(&mut sensor, now_us, src, dst, 6, &tcp(src_port, dst_port, b as u32, 0, 2, 0)),
            1 => send(&mut sensor, now_us, src, dst, 6, &tcp(src_port, dst_port, b as u32, a as u32, 16, 20)),
            2 => {
                let mut udp = [0; 20];
                udp[..2].copy_from_slice(&src_port.to_be_bytes());
                udp[2..4].copy_from_slice(&dst_port.to_be_bytes());
                udp[5] = 20;
                send(&mut sensor, now_us, src, dst, 17, &udp);
            }
            _ => send(&mut sensor, now_us, src, dst, 1, &[8, 0, 0, 0, 0, 1, 0, 1]),
        }
        if n == 50_000 {
            warm = resident_bytes();
        }
    }
    let per_packet = begun.elapsed().as_nanos() / u128::from(PACKETS);
    let grown = resident_bytes().saturating_sub(warm);
    println!("{per_packet} ns a packet, generator included; {grown} bytes grown after the first 50,000");
    assert!(grown <= 256 * 1024, "{grown} bytes grown");
    assert_eq!(sensor.open_flows(), 8192);
    books(sensor.ledger(), 8192, finals.get());
    sensor.finish(&mut sink);
    let ledger = sensor.ledger();
    books(ledger, 0, finals.get());
    assert_eq!(ledger.packets, PACKETS + u64::from(sent) + 2);
    assert!(ledger.flows_evicted > PACKETS / 2, "{ledger:?}");
    let (payload, pkts, _) = kept.get().expect("the connection is reported");
    assert_eq!((payload, pkts), (u64::from(sent) * 50, u64::from(sent) + 1));
}

/// The memory contract of the default table, of which the sensor is the largest part.
#[test]
fn the_default_table_leaves_room_in_the_contract() {
    let flows = slips_agent::flow::Table::memory(SensorConfig::default().flows);
    let per_flow = flows / SensorConfig::default().flows;
    println!("{flows} bytes for 8,192 flows, {per_flow} a flow");
    assert!(flows <= 4_400_000, "{flows} bytes");
}
