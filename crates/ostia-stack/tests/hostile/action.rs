//! What can be done to a stack, in a form that can be kept in a file: a sequence of actions behind a word that says what the
//! world is like. Numbers of segments are relative to what the stack has told, so that a file outlives changes of the stack
//! that give it other sequence numbers.
//!
//! The file: four bytes of setup, then for each action a byte for its kind and its fields, little-endian; what has a length of
//! its own is preceded by it in two bytes.

/// A segment of a peer, relative to what is known of the connection.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Shape {
    /// Which pair of addresses and ports.
    pub slot: u8,
    /// From what the stack acknowledged last.
    pub seq: i32,
    /// From the end of what the stack has sent.
    pub ack: i32,
    pub flags: u16,
    pub window: u16,
    pub urgent: u16,
    /// Value from the peer's last, echo from the stack's last.
    pub timestamps: Option<(i32, i32)>,
    /// From the end of what the stack has sent.
    pub sack: Vec<(i32, i32)>,
    /// Options in front of the others, as they are.
    pub options: Vec<u8>,
    /// Bytes of data, each of which its sequence number gives.
    pub len: u16,
    pub carrier: Carrier,
}

/// How a segment travels.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Carrier {
    #[default]
    Whole,
    Twice,
    Fragments,
    FragmentsBackwards,
    FragmentsOverlapping,
    /// Only the first fragment comes.
    FragmentAlone,
    BadChecksum,
    BadIpChecksum,
    /// Coalesced by the device, its checksum checked.
    Coalesced,
    /// Bytes behind the packet's end, as Ethernet pads.
    Padded,
}

const CARRIERS: [Carrier; 10] = [
    Carrier::Whole,
    Carrier::Twice,
    Carrier::Fragments,
    Carrier::FragmentsBackwards,
    Carrier::FragmentsOverlapping,
    Carrier::FragmentAlone,
    Carrier::BadChecksum,
    Carrier::BadIpChecksum,
    Carrier::Coalesced,
    Carrier::Padded,
];

impl Carrier {
    pub fn of(number: u64) -> Carrier {
        CARRIERS[(number % CARRIERS.len() as u64) as usize]
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Lets so many nanoseconds pass.
    Wait(u64),
    Segment(Shape),
    /// An ICMP error about a slot's connection; the sequence number that it quotes is relative to the end of what was sent.
    Icmp {
        slot: u8,
        kind: u8,
        code: u8,
        word: u32,
        seq: i32,
    },
    /// What the stack itself sent so many frames ago, its ends exchanged or not, with some bytes changed, and its checksums
    /// made right again or not.
    Replay {
        back: u16,
        exchange: bool,
        flips: Vec<(u16, u8)>,
        mend: bool,
    },
    /// An IP packet from elsewhere.
    Packet(Vec<u8>),
    /// A frame from elsewhere, as it is.
    Frame(Vec<u8>),
    /// A call of the program.
    Call {
        op: u8,
        which: u8,
        value: u32,
    },
}

/// A whole sequence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Script {
    pub setup: u32,
    pub actions: Vec<Action>,
}

impl Script {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.setup.to_le_bytes().to_vec();
        for action in &self.actions {
            match action {
                Action::Wait(nanos) => {
                    out.push(0);
                    out.extend(nanos.to_le_bytes());
                }
                Action::Segment(shape) => {
                    out.extend([1, shape.slot]);
                    out.extend(shape.seq.to_le_bytes());
                    out.extend(shape.ack.to_le_bytes());
                    for number in [shape.flags, shape.window, shape.urgent, shape.len] {
                        out.extend(number.to_le_bytes());
                    }
                    out.push(CARRIERS.iter().position(|&carrier| carrier == shape.carrier).unwrap_or(0) as u8);
                    let timestamps: Vec<_> = shape.timestamps.into_iter().collect();
                    for pairs in [&timestamps, &shape.sack] {
                        out.push(pairs.len() as u8);
                        out.extend(pairs.iter().flat_map(|&(a, b)| [a.to_le_bytes(), b.to_le_bytes()]).flatten());
                    }
                    put_bytes(&mut out, &shape.options);
                }
                Action::Icmp { slot, kind, code, word, seq } => {
                    out.extend([2, *slot, *kind, *code]);
                    out.extend(word.to_le_bytes());
                    out.extend(seq.to_le_bytes());
                }
                Action::Replay { back, exchange, flips, mend } => {
                    out.push(3);
                    out.extend(back.to_le_bytes());
                    out.extend([u8::from(*exchange), u8::from(*mend)]);
                    let flips: Vec<u8> =
                        flips.iter().flat_map(|(at, by)| [at.to_le_bytes().as_slice(), &[*by]].concat()).collect();
                    put_bytes(&mut out, &flips);
                }
                Action::Packet(bytes) => {
                    out.push(4);
                    put_bytes(&mut out, bytes);
                }
                Action::Frame(bytes) => {
                    out.push(5);
                    put_bytes(&mut out, bytes);
                }
                Action::Call { op, which, value } => {
                    out.extend([6, *op, *which]);
                    out.extend(value.to_le_bytes());
                }
            }
        }
        out
    }

    /// Reads a file; none if it isn't one.
    pub fn decode(bytes: &[u8]) -> Option<Script> {
        let mut reader = Reader(bytes);
        let setup = u32::from_le_bytes(reader.array()?);
        let mut actions = Vec::new();
        while !reader.0.is_empty() {
            let action = match reader.byte()? {
                0 => Action::Wait(u64::from_le_bytes(reader.array()?)),
                1 => Action::Segment(reader.shape()?),
                2 => {
                    let [slot, kind, code] = reader.array()?;
                    let (word, seq) = (u32::from_le_bytes(reader.array()?), i32::from_le_bytes(reader.array()?));
                    Action::Icmp { slot, kind, code, word, seq }
                }
                3 => {
                    let back = u16::from_le_bytes(reader.array()?);
                    let [exchange, mend] = reader.array()?;
                    let flips = reader.bytes()?.chunks_exact(3).map(|flip| (u16::from_le_bytes([flip[0], flip[1]]), flip[2]));
                    Action::Replay { back, exchange: exchange != 0, flips: flips.collect(), mend: mend != 0 }
                }
                4 => Action::Packet(reader.bytes()?.to_vec()),
                5 => Action::Frame(reader.bytes()?.to_vec()),
                6 => {
                    let [op, which] = reader.array()?;
                    Action::Call { op, which, value: u32::from_le_bytes(reader.array()?) }
                }
                _ => return None,
            };
            actions.push(action);
        }
        Some(Script { setup, actions })
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u16).to_le_bytes());
    out.extend_from_slice(bytes);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = u16::from_le_bytes(self.array()?);
        let (bytes, rest) = self.0.split_at_checked(usize::from(len))?;
        self.0 = rest;
        Some(bytes)
    }

    fn pairs(&mut self) -> Option<Vec<(i32, i32)>> {
        let count = self.byte()?;
        (0..count).map(|_| Some((i32::from_le_bytes(self.array()?), i32::from_le_bytes(self.array()?)))).collect()
    }

    fn shape(&mut self) -> Option<Shape> {
        Some(Shape {
            slot: self.byte()?,
            seq: i32::from_le_bytes(self.array()?),
            ack: i32::from_le_bytes(self.array()?),
            flags: u16::from_le_bytes(self.array()?),
            window: u16::from_le_bytes(self.array()?),
            urgent: u16::from_le_bytes(self.array()?),
            len: u16::from_le_bytes(self.array()?),
            carrier: Carrier::of(u64::from(self.byte()?)),
            timestamps: self.pairs()?.first().copied(),
            sack: self.pairs()?,
            options: self.bytes()?.to_vec(),
        })
    }
}

#[test]
fn a_script_is_read_as_it_was_written() {
    let shape = Shape {
        slot: 3,
        seq: -5,
        ack: 7,
        flags: 0x112,
        window: 9,
        urgent: 11,
        timestamps: Some((-1, i32::MIN)),
        sack: vec![(1, 2), (-3, 4)],
        options: vec![3, 3, 7],
        len: 1400,
        carrier: Carrier::Coalesced,
    };
    let actions = vec![
        Action::Wait(1 << 40),
        Action::Segment(shape),
        Action::Segment(Shape::default()),
        Action::Icmp { slot: 1, kind: 3, code: 4, word: 1400, seq: -1 },
        Action::Replay { back: 2, exchange: true, flips: vec![(300, 1), (2, 0xff)], mend: true },
        Action::Packet(vec![0x45, 0]),
        Action::Frame(Vec::new()),
        Action::Call { op: 4, which: 2, value: 70_000 },
    ];
    let script = Script { setup: 0x1234_5678, actions };
    assert_eq!(Script::decode(&script.encode()), Some(script));
    assert_eq!(Script::decode(&[0, 0, 0, 0, 9]), None);
}
