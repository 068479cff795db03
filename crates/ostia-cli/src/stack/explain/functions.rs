//! Which function of the stack does what is shown.

use ostia_stack::{Direction, Layer};

/// A function of `ostia-stack`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Function {
    /// Its name, with its type's.
    pub name: &'static str,
    /// The file that it stands in.
    pub file: &'static str,
}

impl std::fmt::Display for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.name, self.file)
    }
}

const fn function(name: &'static str, file: &'static str) -> Function {
    Function { name, file }
}

/// Those through which a packet passes a layer.
pub fn of_layer(layer: Layer, direction: Direction, v6: bool) -> &'static [Function] {
    const SEND: &[Function] = &[function("Stack::send", "src/stack/tcp.rs"), function("Connection::send", "src/tcp/calls.rs")];
    const TRANSMIT: &[Function] =
        &[function("Connection::transmit", "src/tcp/transmit.rs"), function("Connection::put", "src/tcp/emit.rs")];
    const IP_OUT: &[Function] = &[function("Ip::transmit", "src/ip/output.rs"), function("Ip::write_header", "src/ip/output.rs")];
    const LINK_OUT: &[Function] = &[function("Ip::send", "src/ip/output.rs"), function("Ip::send_to_mac", "src/ip/output.rs")];
    const LINK_IN: &[Function] = &[function("Stack::input", "src/stack/mod.rs"), function("Ip::receive", "src/ip/input.rs")];
    const V4_IN: &[Function] = &[function("Ip::input_v4", "src/ip/input.rs")];
    const V6_IN: &[Function] = &[function("Ip::input_v6", "src/ip/input.rs")];
    const TCP_IN: &[Function] =
        &[function("Tcp::input", "src/tcp/demux.rs"), function("Connection::arrive", "src/tcp/arrive.rs")];
    const RECV: &[Function] = &[function("Stack::recv", "src/stack/tcp.rs"), function("Connection::recv", "src/tcp/calls.rs")];
    match (layer, direction) {
        (Layer::Socket, Direction::Down) => SEND,
        (Layer::Transport, Direction::Down) => TRANSMIT,
        (Layer::Network, Direction::Down) => IP_OUT,
        (Layer::Link, Direction::Down) => LINK_OUT,
        (Layer::Link, Direction::Up) => LINK_IN,
        (Layer::Network, Direction::Up) if v6 => V6_IN,
        (Layer::Network, Direction::Up) => V4_IN,
        (Layer::Transport, Direction::Up) => TCP_IN,
        (Layer::Socket, Direction::Up) => RECV,
    }
}

/// Who asks for a link address, and who answers.
pub fn of_neighbours(v6: bool) -> &'static [Function] {
    const ARP: &[Function] = &[function("Ip::ask_arp", "src/ip/arp.rs"), function("Ip::input_arp", "src/ip/arp.rs")];
    const NDP: &[Function] = &[function("Ip::solicit", "src/ip/ndp.rs"), function("Ip::input_solicitation", "src/ip/ndp.rs")];
    if v6 { NDP } else { ARP }
}

/// Their names in a line.
pub fn listed(functions: &[Function]) -> String {
    functions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_function_that_is_named_is_in_the_file_that_is_named() {
        let stack = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ostia-stack");
        let layers = [Layer::Socket, Layer::Transport, Layer::Network, Layer::Link];
        for v6 in [false, true] {
            let of_layers = layers.iter().flat_map(|&layer| {
                [Direction::Down, Direction::Up].into_iter().flat_map(move |direction| of_layer(layer, direction, v6))
            });
            for function in of_layers.chain(of_neighbours(v6)) {
                let source = std::fs::read_to_string(stack.join(function.file)).unwrap();
                let (kind, name) = function.name.split_once("::").unwrap();
                assert!(source.contains(&format!("fn {name}(")) && source.contains(&format!("impl {kind}")), "{function}");
            }
        }
    }
}
