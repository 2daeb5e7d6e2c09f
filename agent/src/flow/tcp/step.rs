//! The state machine: what a segment makes of the ends, by what its sender did last.

use super::endpoint::End;
use super::{ACK, Connection, FIN, RST, SYN, other};
use crate::app::Direction;
use crate::packet::Tcp;

/// What the state machine decided.
#[derive(Default)]
pub(super) struct Step {
    pub(super) close: bool,
    pub(super) attempt: bool,
    pub(super) aborted_close: bool,
    pub(super) turned: bool,
}

impl Connection {
    /// Takes the state on.
    pub(super) fn step(&mut self, seg: &Tcp<'_>, dir: Direction) -> Step {
        let (end, _) = self.ends(dir);
        match end.state {
            End::Silent => self.first_segment(seg, dir),
            End::SynSent | End::SynAckSent => self.during_handshake(seg, dir),
            End::Established | End::Midstream => self.while_open(seg, dir),
            End::Closed => self.after_fin(seg, dir),
            End::Reset => Step::default(),
        }
    }

    fn first_segment(&mut self, seg: &Tcp<'_>, mut dir: Direction) -> Step {
        let flags = seg.flags;
        let mut step = Step::default();
        if flags & SYN != 0 {
            if dir == Direction::Orig {
                let to = if flags & ACK != 0 { End::SynAckSent } else { End::SynSent };
                self.set(dir, to);
                step.attempt = true;
            } else {
                let late_syn =
                    flags & ACK == 0 && self.orig.state == End::SynAckSent && seg.seq == self.resp.start;
                if late_syn {
                    self.turn();
                    dir = Direction::Orig;
                    step.turned = true;
                    self.set(Direction::Resp, End::Established);
                    self.first_seen[0] = true;
                } else if self.orig.state == End::SynSent {
                    self.set(Direction::Orig, End::Established);
                }
                self.set(dir, End::Established);
            }
        }
        if flags & FIN != 0 {
            self.set(dir, End::Closed);
            step.close = true;
        }
        if flags & RST != 0 {
            self.set(dir, End::Reset);
            step.close = true;
        }
        let (end, peer) = self.ends(dir);
        let (end, peer) = (end.state, peer.state);
        if end == End::Silent {
            let bare_ack_to_syn =
                dir == Direction::Resp && seg.payload_len == 0 && self.orig.state == End::SynSent;
            if bare_ack_to_syn {
                // Some acknowledge a SYN before they answer it.
            } else if flags & ACK != 0 && peer == End::Established {
                // SYN-ACK seen, SYN missed: the third packet of a handshake.
                self.set(dir, End::Established);
                self.midstream = false;
                self.first_seen[dir as usize] = true;
            } else {
                self.set(dir, End::Midstream);
            }
        }
        step
    }

    fn during_handshake(&mut self, seg: &Tcp<'_>, dir: Direction) -> Step {
        let mut step = Step::default();
        if seg.flags & FIN != 0 {
            self.set(dir, End::Closed);
            step.close = true;
        }
        if seg.flags & RST != 0 {
            self.set(dir, End::Reset);
            step.close = true;
        }
        step
    }

    fn while_open(&mut self, seg: &Tcp<'_>, dir: Direction) -> Step {
        let flags = seg.flags;
        let mut step = Step::default();
        let (end, peer) = self.ends(dir);
        if flags & (SYN | ACK) == SYN && end.state == End::Midstream && peer.state == End::Silent {
            self.set(dir, End::SynSent);
        }
        if flags & FIN != 0 && flags & RST == 0 {
            let (_, peer) = self.ends(dir);
            let normal_after_all = peer.state == End::Reset && peer.before == End::Closed;
            self.set(dir, End::Closed);
            if normal_after_all {
                // FIN, then RST of the same end, then the other's FIN.
                self.set(other(dir), End::Closed);
            }
            step.close = true;
        }
        if flags & RST != 0 {
            self.set(dir, End::Reset);
            step.close = true;
        }
        step
    }

    fn after_fin(&mut self, seg: &Tcp<'_>, dir: Direction) -> Step {
        let mut step = Step::default();
        let (end, peer) = self.ends(dir);
        if seg.flags & RST != 0 && peer.state != End::Closed {
            step.close = !end.done;
            step.aborted_close = true;
            self.set(dir, End::Reset);
        }
        step
    }
}
