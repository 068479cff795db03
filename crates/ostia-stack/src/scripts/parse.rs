//! From words to events: the part of packetdrill's grammar that the scripts use.

use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

use super::lex::{Lexeme, Note, Token, lex};
use super::script::{Action, Call, Event, IcmpError, Script, Segment, TcpOption, Traffic, Value, When};

type Parsed<T> = Result<T, (usize, String)>;

/// Parses a whole script; an error names its line.
pub(super) fn parse(text: &str) -> Parsed<Script> {
    let (lexemes, notes) = lex(text)?;
    let mut parser = Parser { lexemes, next: 0 };
    let init = match parser.peek() {
        Some(Token::Shell(command)) => {
            let command = command.clone();
            parser.next += 1;
            Some(command)
        }
        _ => None,
    };
    let mut events = vec![];
    while parser.peek().is_some() {
        events.push(parser.event()?);
    }
    let notes = place_notes(notes, &mut events)?;
    Ok(Script { notes, init, events })
}

/// Gives each note to the event that it stands above or beside; returns those before all events.
fn place_notes(notes: Vec<Note>, events: &mut [Event]) -> Parsed<Vec<Note>> {
    let first = events.first().map_or(usize::MAX, |event| event.line);
    let mut above = vec![];
    for note in notes {
        if note.line < first {
            above.push(note);
        } else if let Some(event) = events.iter_mut().find(|event| event.line == note.line) {
            event.beside.push(note);
        } else if let Some(event) = events.iter_mut().find(|event| event.line > note.line) {
            event.before.push(note);
        } else {
            return Err((note.line, "a note after the last event".into()));
        }
    }
    Ok(above)
}

struct Parser {
    lexemes: Vec<Lexeme>,
    next: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.lexemes.get(self.next).map(|lexeme| &lexeme.token)
    }

    fn line(&self) -> usize {
        let lexeme = self.lexemes.get(self.next).or(self.lexemes.last());
        lexeme.map_or(1, |lexeme| lexeme.line)
    }

    fn error<T>(&self, expected: &str) -> Parsed<T> {
        let found = self.peek().map_or("the end".to_string(), |token| format!("{token:?}"));
        Err((self.line(), format!("expected {expected}, found {found}")))
    }

    fn is_sign(&self, sign: char) -> bool {
        self.peek() == Some(&Token::Sign(sign))
    }

    fn take_sign(&mut self, sign: char) -> bool {
        let is = self.is_sign(sign);
        self.next += usize::from(is);
        is
    }

    fn sign(&mut self, sign: char) -> Parsed<()> {
        if self.take_sign(sign) { Ok(()) } else { self.error(&format!("'{sign}'")) }
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(found)) if found == word)
    }

    fn take_word(&mut self, word: &str) -> bool {
        let is = self.is_word(word);
        self.next += usize::from(is);
        is
    }

    fn named(&mut self, word: &str) -> Parsed<()> {
        if self.take_word(word) { Ok(()) } else { self.error(word) }
    }

    fn word(&mut self) -> Parsed<String> {
        let Some(Token::Word(word)) = self.peek() else {
            return self.error("a word");
        };
        let word = word.clone();
        self.next += 1;
        Ok(word)
    }

    /// An integer that fits.
    fn integer<T: TryFrom<i64>>(&mut self) -> Parsed<T> {
        let Some(&Token::Integer(number)) = self.peek() else {
            return self.error("an integer");
        };
        let Ok(number) = T::try_from(number) else {
            return self.error("a number in range");
        };
        self.next += 1;
        Ok(number)
    }

    /// Seconds, to the microsecond.
    fn time(&mut self) -> Parsed<u64> {
        let micros = match self.peek() {
            Some(&Token::Integer(seconds)) => u64::try_from(seconds).ok().and_then(|seconds| seconds.checked_mul(1_000_000)),
            Some(Token::Fraction(text)) => micros(text),
            _ => None,
        };
        match micros {
            Some(micros) => {
                self.next += 1;
                Ok(micros)
            }
            None => self.error("a time in seconds, to the microsecond"),
        }
    }

    fn when(&mut self) -> Parsed<When> {
        if self.take_sign('*') {
            return Ok(When::Any);
        }
        let relative = self.take_sign('+');
        let from = self.time()?;
        if !self.take_sign('~') {
            return Ok(if relative { When::After(from) } else { When::At(from) });
        }
        if relative {
            self.sign('+')?;
        }
        let to = self.time()?;
        if to < from {
            return self.error("a range that goes forwards");
        }
        Ok(if relative { When::AfterBetween(from, to) } else { When::Between(from, to) })
    }

    fn event(&mut self) -> Parsed<Event> {
        let line = self.line();
        let when = self.when()?;
        let action = match self.peek() {
            Some(Token::Sign('<')) => {
                self.next += 1;
                self.arrives()?
            }
            Some(Token::Sign('>')) => {
                self.next += 1;
                Action::Sent(self.segment(false)?)
            }
            Some(Token::Shell(command)) => {
                let command = command.clone();
                self.next += 1;
                Action::Shell(command)
            }
            Some(Token::Code(text)) => {
                let text = text.clone();
                self.next += 1;
                Action::Code(text)
            }
            _ => Action::Call(self.call()?),
        };
        if !matches!(when, When::At(_) | When::After(_)) && !matches!(action, Action::Sent(_)) {
            return Err((line, "only what is sent may have a range of times".into()));
        }
        Ok(Event { line, when, action, before: vec![], beside: vec![] })
    }

    fn arrives(&mut self) -> Parsed<Action> {
        if !self.take_word("icmp") {
            return Ok(Action::Arrives(self.segment(true)?));
        }
        let kind = self.word()?;
        let code = if matches!(self.peek(), Some(Token::Word(_))) && !self.is_word("mtu") { Some(self.word()?) } else { None };
        let mtu = if self.take_word("mtu") { Some(self.integer()?) } else { None };
        let mut quoted = (0, 0);
        if self.take_sign('[') {
            quoted = self.sequence()?;
            self.sign(']')?;
        }
        Ok(Action::Icmp(IcmpError { kind, code, mtu, quoted }))
    }

    /// `first:last(length)`.
    fn sequence(&mut self) -> Parsed<(u32, u16)> {
        let start: u32 = self.integer()?;
        self.sign(':')?;
        let end: u32 = self.integer()?;
        self.sign('(')?;
        let length: u16 = self.integer()?;
        self.sign(')')?;
        if u64::from(start) + u64::from(length) != u64::from(end) {
            return Err((self.line(), format!("{start}:{end}({length}) is inconsistent")));
        }
        Ok((start, length))
    }

    fn segment(&mut self, inbound: bool) -> Parsed<Segment> {
        let (traffic, ttl) = self.ip_info()?;
        let mut ports = None;
        if matches!(self.peek(), Some(Token::Integer(_))) {
            let source = self.integer()?;
            self.sign('>')?;
            ports = Some((source, self.integer()?));
        }
        let flags = self.flags()?;
        let (start, length) = self.sequence()?;
        let ack = if self.take_word("ack") { Some(self.integer()?) } else { None };
        let window = if self.take_word("win") { Some(self.integer()?) } else { None };
        let urgent = if self.take_word("urg") { self.integer()? } else { 0 };
        let options = self.options()?;
        if inbound && window.is_none() {
            return self.error("a window, which a packet that arrives must have");
        }
        if inbound && options.is_none() {
            return self.error("options, which a packet that arrives must name");
        }
        Ok(Segment { ports, traffic, ttl, flags, start, length, ack, window, urgent, options })
    }

    fn ip_info(&mut self) -> Parsed<(Traffic, Option<u8>)> {
        let close = match self.peek() {
            Some(Token::Sign('[')) => ']',
            Some(Token::Sign('(')) => ')',
            _ => return Ok((Traffic::Any, None)),
        };
        self.next += 1;
        let word = self.word()?;
        let (traffic, ttl) = match word.as_str() {
            "noecn" => (Traffic::Ecn(0), None),
            "ect1" => (Traffic::Ecn(1), None),
            "ect0" => (Traffic::Ecn(2), None),
            "ce" => (Traffic::Ecn(3), None),
            "tos" => (Traffic::Whole(self.integer()?), None),
            "ttl" => (Traffic::Any, Some(self.integer()?)),
            _ => return self.error("noecn, ect0, ect1, ce, tos or ttl"),
        };
        self.sign(close)?;
        Ok((traffic, ttl))
    }

    fn flags(&mut self) -> Parsed<String> {
        if self.take_sign('-') {
            return Ok(String::new());
        }
        let mut flags = String::new();
        if let Some(Token::Word(letters)) = self.peek() {
            flags.clone_from(letters);
            self.next += 1;
        }
        if self.take_sign('.') {
            flags.push('.');
        }
        if flags.is_empty() || flags.chars().any(|letter| !"FSRP.UEW".contains(letter)) {
            return self.error("flags: F S R P . U E W");
        }
        Ok(flags)
    }

    fn options(&mut self) -> Parsed<Option<Vec<TcpOption>>> {
        // A `<` here may begin the next event only after a time, so it always opens options.
        if !self.take_sign('<') {
            return Ok(Some(vec![]));
        }
        if self.peek() == Some(&Token::Ellipsis) {
            self.next += 1;
            self.sign('>')?;
            return Ok(None);
        }
        let mut options = vec![self.option()?];
        while self.take_sign(',') {
            options.push(self.option()?);
        }
        self.sign('>')?;
        let length: usize = options.iter().map(TcpOption::length).sum();
        if !length.is_multiple_of(4) || length > 40 {
            return Err((self.line(), format!("options of {length} bytes: they must be padded to fours and at most 40")));
        }
        Ok(Some(options))
    }

    fn option(&mut self) -> Parsed<TcpOption> {
        let name = self.word()?;
        Ok(match name.as_str() {
            "nop" => TcpOption::Nop,
            "eol" => TcpOption::Eol,
            "mss" => TcpOption::Mss(self.integer()?),
            "wscale" => TcpOption::WindowScale(self.integer()?),
            "sackOK" => TcpOption::SackPermitted,
            "sack" => {
                let mut blocks = vec![];
                while matches!(self.peek(), Some(Token::Integer(_))) {
                    let start = self.integer()?;
                    self.sign(':')?;
                    blocks.push((start, self.integer()?));
                }
                TcpOption::Sack(blocks)
            }
            "TS" => {
                self.named("val")?;
                let value = self.integer()?;
                self.named("ecr")?;
                TcpOption::Timestamps(value, self.integer()?)
            }
            "md5" => TcpOption::Md5(self.hex()?),
            "FO" => TcpOption::FastOpen(if self.is_sign(',') || self.is_sign('>') { vec![] } else { self.hex()? }),
            _ => return self.error("an option's name before this"),
        })
    }

    fn hex(&mut self) -> Parsed<Vec<u8>> {
        let text = match self.peek() {
            Some(Token::Word(text)) => text.clone(),
            Some(Token::Integer(number)) => number.to_string(),
            _ => return self.error("hexadecimal digits"),
        };
        let bytes: Option<Vec<u8>> = (0..text.len())
            .step_by(2)
            .map(|at| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
            .collect();
        match bytes {
            Some(bytes) => {
                self.next += 1;
                Ok(bytes)
            }
            None => self.error("pairs of hexadecimal digits"),
        }
    }

    fn call(&mut self) -> Parsed<Call> {
        let end = if self.peek() == Some(&Token::Ellipsis) {
            self.next += 1;
            Some(self.time()?)
        } else {
            None
        };
        let name = self.word()?;
        self.sign('(')?;
        let arguments = self.values(')')?;
        self.sign('=')?;
        let result = self.value()?;
        let error = if matches!(self.peek(), Some(Token::Word(_))) { Some(self.word()?) } else { None };
        if self.take_sign('(') {
            while matches!(self.peek(), Some(Token::Word(_))) {
                self.next += 1;
            }
            self.sign(')')?;
        } else if error.is_some() {
            return self.error("the error's text in parentheses");
        }
        Ok(Call { name, arguments, result, error, end })
    }

    fn values(&mut self, close: char) -> Parsed<Vec<Value>> {
        let mut values = vec![];
        if self.take_sign(close) {
            return Ok(values);
        }
        loop {
            values.push(self.value()?);
            if self.take_sign(close) {
                return Ok(values);
            }
            self.sign(',')?;
        }
    }

    fn value(&mut self) -> Parsed<Value> {
        let first = self.simple_value()?;
        if !self.is_sign('|') {
            return Ok(first);
        }
        let mut all = vec![first];
        while self.take_sign('|') {
            all.push(self.simple_value()?);
        }
        Ok(Value::Or(all))
    }

    fn simple_value(&mut self) -> Parsed<Value> {
        let value = match self.peek() {
            Some(Token::Ellipsis) => Value::Ellipsis,
            Some(&Token::Integer(number)) => Value::Integer(number),
            Some(Token::Word(word)) => Value::Word(word.clone()),
            Some(Token::Text(text)) => Value::Text(text.clone()),
            Some(Token::Sign('[')) => {
                self.next += 1;
                return Ok(Value::List(self.values(']')?));
            }
            Some(Token::Sign('{')) => {
                self.next += 1;
                return self.structure();
            }
            _ => return self.error("a value"),
        };
        self.next += 1;
        Ok(value)
    }

    fn structure(&mut self) -> Parsed<Value> {
        let value = if self.take_word("onoff") {
            self.sign('=')?;
            let on: i64 = self.integer()?;
            self.sign(',')?;
            self.named("linger")?;
            self.sign('=')?;
            Value::Linger { on: on != 0, seconds: self.integer()? }
        } else if self.take_word("sa_family") {
            self.sign('=')?;
            self.word()?;
            self.sign(',')?;
            self.named("sin_port")?;
            self.sign('=')?;
            self.named("htons")?;
            self.sign('(')?;
            let port = self.integer()?;
            self.sign(')')?;
            self.sign(',')?;
            self.named("sin_addr")?;
            self.sign('=')?;
            self.named("inet_addr")?;
            self.sign('(')?;
            self.value()?;
            self.sign(')')?;
            Value::Port(port)
        } else {
            return self.error("onoff or sa_family");
        };
        self.sign('}')?;
        Ok(value)
    }
}

impl TcpOption {
    /// Bytes on the wire.
    pub(super) fn length(&self) -> usize {
        match self {
            TcpOption::Nop | TcpOption::Eol => 1,
            TcpOption::Mss(_) => 4,
            TcpOption::WindowScale(_) => 3,
            TcpOption::SackPermitted => 2,
            TcpOption::Sack(blocks) => 2 + 8 * blocks.len(),
            TcpOption::Timestamps(..) => 10,
            TcpOption::Md5(bytes) | TcpOption::FastOpen(bytes) => 2 + bytes.len(),
        }
    }
}

/// The names in `A|B`; a number gives none.
pub(super) fn words_of(value: &Value) -> Vec<String> {
    match value {
        Value::Word(word) => vec![word.clone()],
        Value::Or(values) => values.iter().flat_map(words_of).collect(),
        _ => vec![],
    }
}

/// Microseconds of a decimal fraction, exactly; `None` if it is finer or negative.
fn micros(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.')?;
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction = fraction.trim_end_matches('0');
    let digits = u32::try_from(fraction.len()).ok().filter(|&digits| digits <= 6)?;
    let fraction: u64 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    whole.checked_mul(1_000_000)?.checked_add(fraction * 10u64.pow(6 - digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &str) -> Vec<Event> {
        parse(text).expect("it can be parsed").events
    }

    fn refused(text: &str) -> (usize, String) {
        parse(text).map(|_| ()).expect_err("it must not be parsed")
    }

    #[test]
    fn times_are_exact_to_the_microsecond() {
        assert_eq!(micros("1.000001"), Some(1_000_001));
        assert_eq!(micros(".1"), Some(100_000));
        assert_eq!(micros("0.2000000000"), Some(200_000));
        assert_eq!(micros("0.0000001"), None);
        assert_eq!(micros("-.1"), None);
        let when = |text: &str| events(&format!("{text} > . 1:1(0) ack 1"))[0].when;
        assert_eq!(when("+.040"), When::After(40_000));
        assert_eq!(when("2"), When::At(2_000_000));
        assert_eq!(when("1~1.5"), When::Between(1_000_000, 1_500_000));
        assert_eq!(when("+0~+.5"), When::AfterBetween(0, 500_000));
        assert_eq!(when("*"), When::Any);
    }

    #[test]
    fn a_segment_keeps_every_field_that_it_names() {
        let text = "0 < [ect0] 40000 > 8080 FP. 1:11(10) ack 5 win 65535 urg 3 \
            <nop,nop,TS val 7 ecr 4294967295,sack 5:9 20:4294967295,eol,eol>";
        let [Event { action: Action::Arrives(segment), .. }] = &events(text)[..] else {
            panic!("one segment arrives");
        };
        let options = vec![
            TcpOption::Nop,
            TcpOption::Nop,
            TcpOption::Timestamps(7, u32::MAX),
            TcpOption::Sack(vec![(5, 9), (20, u32::MAX)]),
            TcpOption::Eol,
            TcpOption::Eol,
        ];
        let expected = Segment {
            ports: Some((40_000, 8080)),
            traffic: Traffic::Ecn(2),
            ttl: None,
            flags: "FP.".into(),
            start: 1,
            length: 10,
            ack: Some(5),
            window: Some(65_535),
            urgent: 3,
            options: Some(options),
        };
        assert_eq!(*segment, expected);
    }

    #[test]
    fn what_packetdrill_refuses_is_refused() {
        assert_eq!(refused("0 > . 1:3(1) ack 1").1, "1:3(1) is inconsistent");
        assert!(refused("0 < . 1:1(0) ack 1").1.contains("a window"));
        assert!(refused("0 < . 1:1(0) ack 1 win 1 <...>").1.contains("options"));
        assert!(refused("0 < S 0:0(0) win 1 <mss 1000,sackOK>").1.contains("padded"));
        assert!(refused("0~1 close(3) = 0").1.contains("range"));
        assert!(refused("0 > X 1:1(0)").1.contains("flags"));
        assert!(refused("0 close(3) = -1 EBADF").1.contains("text"));
        assert_eq!(refused("0 close(3) = 0\n0 close 3").0, 2);
    }

    #[test]
    fn calls_keep_arguments_result_error_and_end() {
        let text = "+0...0.200 connect(3, ..., ...) = -1 ECONNREFUSED (Connection refused)\n\
            0 setsockopt(3, SOL_SOCKET, SO_LINGER, {onoff=1, linger=2}, 8) = 0\n\
            0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0\n\
            0 bind(3, {sa_family = AF_INET, sin_port = htons(80), sin_addr = inet_addr(\"192.168.0.1\")}, ...) = 0";
        let events = events(text);
        let calls: Vec<&Call> = events
            .iter()
            .map(|event| match &event.action {
                Action::Call(call) => call,
                other => panic!("a call, not {other:?}"),
            })
            .collect();
        assert_eq!((calls[0].end, calls[0].error.as_deref()), (Some(200_000), Some("ECONNREFUSED")));
        assert_eq!(calls[0].result, Value::Integer(-1));
        assert_eq!(calls[1].arguments[3], Value::Linger { on: true, seconds: 2 });
        assert_eq!(words_of(&calls[2].arguments[2]), ["O_RDWR", "O_NONBLOCK"]);
        assert_eq!(calls[3].arguments[1], Value::Port(80));
    }

    #[test]
    fn icmp_errors_keep_type_code_mtu_and_what_they_quote() {
        let [Event { action: Action::Icmp(icmp), .. }] = &events("0 < icmp unreachable frag_needed mtu 1400 [1:1461(1460)]")[..]
        else {
            panic!("one ICMP error");
        };
        let expected =
            IcmpError { kind: "unreachable".into(), code: Some("frag_needed".into()), mtu: Some(1400), quoted: (1, 1460) };
        assert_eq!(*icmp, expected);
    }

    #[test]
    fn notes_belong_to_the_script_or_to_the_event_above_or_beside_which_they_stand() {
        let text = "// ostia: strict\n`sysctl -q a=1`\n0 close(3) = 0 // ostia: b\n// ostia: c\n0 `d`\n0 %{ e }%";
        let script = parse(text).expect("it can be parsed");
        assert_eq!(script.notes[0].words, ["strict"]);
        assert_eq!(script.init.as_deref(), Some("sysctl -q a=1"));
        assert_eq!(script.events[0].beside[0].words, ["b"]);
        assert_eq!(script.events[1].before[0].words, ["c"]);
        assert!(matches!(&script.events[2].action, Action::Code(text) if text == "e"));
        assert_eq!(refused("0 close(3) = 0\n// ostia: late").0, 2);
    }
}
