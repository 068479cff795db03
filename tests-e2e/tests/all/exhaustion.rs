//! Out of descriptors: those who are connected are served, and so is everybody once there is room.

use std::net::TcpStream;

use crate::support::case::on_both_drivers;
use crate::support::http::Client;
use crate::support::process::Confinement;
use crate::support::server::Launch;
use crate::support::site::Site;

/// Room for the server's own needs and a few dozen connections.
const DESCRIPTORS: u32 = 128;

on_both_drivers! {
    /// More connections than descriptors: the server says so, serves on, and recovers.
    fn too_many_connections_are_outlived(case: Case) {
        let site = Site::new();
        site.write("file", "content");
        let server = Launch::new(case, site.root())
            .confined(Confinement {
                descriptors: Some(DESCRIPTORS),
                ..Confinement::default()
            })
            .start();
        let mut early = server.connect();
        assert_eq!(early.get("/file").text(), "content");
        // The kernel's backlog takes what the server can't.
        let crowd: Vec<TcpStream> = (0..DESCRIPTORS * 2)
            .map(|_| TcpStream::connect(server.address).expect("the backlog has room"))
            .collect();
        assert_eq!(early.get("/file").text(), "content", "while it is crowded");
        let mut late = Client::connect(server.address);
        late.ask("/file");
        drop(crowd);
        assert_eq!(late.response().text(), "content", "asked in the crowd");
        assert_eq!(server.get("/file").text(), "content", "afterwards");
        assert_eq!(early.get("/file").text(), "content", "afterwards");
        let ended = server.stop();
        let reports = ended.errors.matches("open files").count();
        assert!(reports > 0, "nothing was said:\n{}", ended.errors);
        // A shortage is reported, not every accept that fails in it.
        assert!(reports < 64, "{}", ended.errors);
    }
}
