//! Echo server on compio in three modes: an owned buffer a connection, buffers managed by the runtime's pool, and
//! multishot receives into that pool; and for datagrams in two, see `udp.rs`. Single issuer and deferred task run are on, which compio leaves off by default.

#[path = "../../common/args.rs"]
mod args;
mod udp;

use std::io;
use std::num::NonZero;

use compio::BufResult;
use compio::driver::ProactorBuilder;
use compio::io::{AsyncRead, AsyncReadManaged, AsyncReadMulti, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};
use compio::runtime::RuntimeBuilder;
use futures_util::StreamExt;

#[derive(Clone, Copy)]
enum Mode {
    Owned,
    Managed,
    Multishot,
    Udp,
    UdpMultishot,
}

fn main() -> io::Result<()> {
    let args = args::Args::parse(&["mode", "tasks"]);
    let mode = match args.own("mode") {
        None | Some("owned") => Mode::Owned,
        Some("managed") => Mode::Managed,
        Some("multishot") => Mode::Multishot,
        Some("udp") => Mode::Udp,
        Some("udp-multishot") => Mode::UdpMultishot,
        Some(other) => {
            eprintln!("no mode {other}: choose owned, managed, multishot, udp or udp-multishot");
            std::process::exit(2);
        }
    };
    let mut proactor = ProactorBuilder::new();
    proactor
        .capacity(4096)
        .single_issuer(true)
        .coop_taskrun(true)
        .taskrun_flag(true)
        .defer_taskrun(true)
        .buffer_pool_size(NonZero::new(2048).unwrap_or(NonZero::<u16>::MIN))
        .buffer_pool_buffer_len(16 * 1024);
    let runtime = RuntimeBuilder::new().with_proactor(proactor).build()?;
    match mode {
        Mode::Udp => runtime.block_on(udp::owned(args)),
        Mode::UdpMultishot => runtime.block_on(udp::multishot(args)),
        _ => runtime.block_on(serve(args, mode)),
    }
}

async fn serve(args: args::Args, mode: Mode) -> io::Result<()> {
    let listener = TcpListener::from_std(args::listen(args.addr)?)?;
    args::announce(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        compio::runtime::spawn(async move {
            // A connection that fails concerns its peer only.
            let _ = match mode {
                Mode::Managed => managed(stream).await,
                Mode::Multishot => multishot(stream).await,
                _ => owned(stream).await,
            };
        })
        .detach();
    }
}

async fn owned(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer: Vec<u8> = Vec::with_capacity(16 * 1024);
    loop {
        let BufResult(read, back) = stream.read(buffer).await;
        if read? == 0 {
            return Ok(());
        }
        let BufResult(written, back) = stream.write_all(back).await;
        written?;
        buffer = back;
        buffer.clear();
    }
}

async fn managed(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = stream.into_split();
    loop {
        match reader.read_managed(0).await {
            Ok(Some(buffer)) => writer.write_all(buffer).await.0?,
            Ok(None) => return Ok(()),
            Err(error) if is_dry(&error) => {
                if !one_owned(&mut reader, &mut writer).await? {
                    return Ok(());
                }
            }
            Err(error) => return Err(error),
        };
    }
}

async fn multishot(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = stream.into_split();
    loop {
        {
            let mut received = std::pin::pin!(reader.read_multi(0));
            loop {
                match received.next().await {
                    Some(Ok(buffer)) => writer.write_all(buffer).await.0?,
                    Some(Err(error)) if is_dry(&error) => break,
                    Some(Err(error)) => return Err(error),
                    None => return Ok(()),
                };
            }
        }
        if !one_owned(&mut reader, &mut writer).await? {
            return Ok(());
        }
    }
}

/// Whether an error says that the pool has no buffer left, which compio hands to its user.
fn is_dry(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ResourceBusy || error.raw_os_error() == Some(libc::ENOBUFS)
}

/// Echoes one chunk without the pool; false at the end of the stream.
async fn one_owned(reader: &mut TcpStream, writer: &mut TcpStream) -> io::Result<bool> {
    let BufResult(read, buffer) = reader.read(Vec::with_capacity(16 * 1024)).await;
    if read? == 0 {
        return Ok(false);
    }
    writer.write_all(buffer).await.0?;
    Ok(true)
}
