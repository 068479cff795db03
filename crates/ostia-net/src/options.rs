//! A port's options of sockets as the stack's.

use std::io;
use std::time::Duration;

use ostia_port::{OptionName, SocketOption, os};
use ostia_stack::{Keepalive, Options};

use crate::error::errno;

/// Sets an option of a stream or a listener.
pub(crate) fn set(options: &mut Options, option: SocketOption) -> io::Result<()> {
    let octets = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    match option {
        SocketOption::NoDelay(on) => options.nodelay = on,
        SocketOption::Cork(on) => options.cork = on,
        // Acknowledgments are the stack's own affair.
        SocketOption::QuickAck(_) => {}
        SocketOption::Keepalive(probing) => {
            options.keepalive = probing.map(|(idle, interval, probes)| Keepalive {
                idle,
                interval,
                count: u8::try_from(probes).unwrap_or(u8::MAX),
            });
        }
        SocketOption::Linger(linger) => options.linger = linger,
        SocketOption::ReceiveBuffer(bytes) => options.receive_buffer = octets(bytes),
        SocketOption::SendBuffer(bytes) => {
            (options.send_buffer, options.send_buffer_most) = (octets(bytes), octets(bytes));
        }
        SocketOption::HopLimit(hops) => options.hop_limit = hops,
        SocketOption::UserTimeout(timeout) => options.user_timeout = (timeout > Duration::ZERO).then_some(timeout),
        _ => return Err(errno(os::ENOPROTOOPT)),
    }
    Ok(())
}

/// The value of an option of a stream or a listener.
pub(crate) fn get(options: &Options, name: OptionName) -> io::Result<SocketOption> {
    Ok(match name {
        OptionName::NoDelay => SocketOption::NoDelay(options.nodelay),
        OptionName::Keepalive => {
            SocketOption::Keepalive(options.keepalive.map(|probing| (probing.idle, probing.interval, u32::from(probing.count))))
        }
        OptionName::Linger => SocketOption::Linger(options.linger),
        OptionName::ReceiveBuffer => SocketOption::ReceiveBuffer(options.receive_buffer as usize),
        OptionName::SendBuffer => SocketOption::SendBuffer(options.send_buffer as usize),
        _ => return Err(errno(os::ENOPROTOOPT)),
    })
}

/// Whether sockets of datagrams have this option.
pub(crate) fn is_of_datagrams(option: SocketOption) -> bool {
    matches!(option, SocketOption::HopLimit(_) | SocketOption::ReceiveBuffer(_) | SocketOption::SendBuffer(_))
}
