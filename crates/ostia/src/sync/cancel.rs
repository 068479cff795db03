//! Telling many at once to stop: a token that is shared, waited for, and handed down.
//!
//! Dropping a future stops it at an await of its own choosing, and at once. A [`CancellationToken`] *asks*: those who hold
//! it look ([`is_cancelled`](CancellationToken::is_cancelled)), wait ([`cancelled`](CancellationToken::cancelled)), or put
//! it around what they do ([`run_until_cancelled`](CancellationToken::run_until_cancelled)), and end in their own way:
//! write what they have, say goodbye to the peer.
//!
//! Tokens form a tree. Cancelling one cancels its children and theirs, never its parent or its siblings: a token for the
//! server, a child for each connection, a child of that for each request.
//!
//! ```
//! use ostia::sync::CancellationToken;
//!
//! ostia::block_on(async {
//!     let server = CancellationToken::new();
//!     let connection = server.child_token();
//!     let serving = ostia::spawn(async move {
//!         let endless = std::future::pending::<()>();
//!         connection.run_until_cancelled(endless).await.is_none()
//!     });
//!     ostia::yield_now().await;
//!     server.cancel();
//!     assert!(serving.await.unwrap(), "it was told to stop");
//! });
//! ```

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::Poll;

use crate::sync::block::block;
use crate::sync::notify::Notify;
use crate::sync::primitives::{AtomicBool, Mutex, Ordering, lock};

/// A request to stop, shared by those who make it and those whom it concerns. See the [module](self).
///
/// Clones are the same token. Dropping tokens cancels nothing: use a [`drop_guard`](Self::drop_guard) for that. A token
/// whose handles are all gone still hands down what its parent says.
///
/// **Cancellation**: the futures here only look; dropping one changes nothing.
#[derive(Clone)]
pub struct CancellationToken {
    node: Arc<Node>,
}

struct Node {
    cancelled: AtomicBool,
    notify: Notify,
    children: Mutex<Children>,
    /// None at the root, and while the node is being dropped.
    parent: Option<Above>,
}

/// Where a node hangs.
struct Above {
    node: Arc<Node>,
    place: usize,
}

/// The children that live, by place, and the places that are free.
struct Children {
    places: Vec<Option<Weak<Node>>>,
    free: Vec<usize>,
}

impl Node {
    fn new(cancelled: bool, parent: Option<Above>) -> Node {
        Node {
            cancelled: AtomicBool::new(cancelled),
            notify: Notify::new(),
            children: Mutex::new(Children { places: Vec::new(), free: Vec::new() }),
            parent,
        }
    }

    /// Marks this node; gives its children, unless it was marked before.
    fn mark(&self) -> Vec<Option<Weak<Node>>> {
        let mut children = lock(&self.children);
        // Under the lock, so that a child is either among these or finds the mark.
        if self.cancelled.swap(true, Ordering::AcqRel) {
            return Vec::new();
        }
        children.free = Vec::new();
        std::mem::take(&mut children.places)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A loop rather than a recursion: a chain of tokens may be longer than the stack is deep.
        let mut above = self.parent.take();
        while let Some(Above { node, place }) = above {
            let mut children = lock(&node.children);
            // With the parent cancelled the list is gone.
            let slot = children.places.get_mut(place).and_then(Option::take);
            if slot.is_some() {
                children.free.push(place);
            }
            drop(children);
            drop(slot);
            above = Arc::into_inner(node).and_then(|mut alone| alone.parent.take());
        }
    }
}

impl CancellationToken {
    /// A token without a parent, not cancelled.
    #[must_use]
    pub fn new() -> CancellationToken {
        CancellationToken { node: Arc::new(Node::new(false, None)) }
    }

    /// A token that is cancelled when this one is, and can be cancelled by itself. Of a cancelled token: a cancelled one.
    #[must_use]
    pub fn child_token(&self) -> CancellationToken {
        let mut children = lock(&self.node.children);
        if self.node.cancelled.load(Ordering::Acquire) {
            return CancellationToken { node: Arc::new(Node::new(true, None)) };
        }
        let place = children.free.pop().unwrap_or(children.places.len());
        let node = Arc::new(Node::new(false, Some(Above { node: Arc::clone(&self.node), place })));
        match children.places.get_mut(place) {
            Some(vacant) => *vacant = Some(Arc::downgrade(&node)),
            None => children.places.push(Some(Arc::downgrade(&node))),
        }
        CancellationToken { node }
    }

    /// Asks everybody who holds this token, its children, and theirs, to stop. There is no way back.
    ///
    /// When the first call returns all of them are cancelled, and those who wait have been woken.
    pub fn cancel(&self) {
        // What is marked is kept alive until the end: dropping a node in the middle would lock its parent.
        let mut marked = vec![Arc::clone(&self.node)];
        let mut next = 0;
        while let Some(node) = marked.get(next) {
            let children = node.mark();
            node.notify.notify_waiters();
            marked.extend(children.iter().flatten().filter_map(Weak::upgrade));
            next += 1;
        }
    }

    /// Whether it was cancelled.
    #[inline]
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.node.cancelled.load(Ordering::Acquire)
    }

    /// Waits until it is cancelled; ready at once if it was. Cancel safe.
    pub async fn cancelled(&self) {
        let notified = self.node.notify.notified();
        if !self.is_cancelled() {
            notified.await;
        }
    }

    /// As [`cancelled`](Self::cancelled), borrowing nothing. Cancel safe.
    pub async fn cancelled_owned(self) {
        self.cancelled().await;
    }

    /// As [`cancelled`](Self::cancelled), for a plain thread, which sleeps meanwhile.
    ///
    /// # Panics
    /// On a worker of a runtime.
    pub fn blocking_cancelled(&self) {
        block("blocking_cancelled", self.cancelled());
    }

    /// Runs `future` until it is ready or this token is cancelled; then it is dropped, and the result is none. A future
    /// that is ready when the token is cancelled has won; one that is given to a cancelled token is not polled.
    ///
    /// Cancel safe if `future` is: being stopped by the token means the same to it as being dropped.
    pub async fn run_until_cancelled<F: Future>(&self, future: F) -> Option<F::Output> {
        if self.is_cancelled() {
            return None;
        }
        let (mut future, mut cancelled) = (pin!(future), pin!(self.cancelled()));
        std::future::poll_fn(move |cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => cancelled.as_mut().poll(cx).map(|()| None),
        })
        .await
    }

    /// As [`run_until_cancelled`](Self::run_until_cancelled), borrowing nothing; cancel safe as that.
    pub async fn run_until_cancelled_owned<F: Future>(self, future: F) -> Option<F::Output> {
        self.run_until_cancelled(future).await
    }

    /// A guard that cancels this token when it is dropped, be it by a panic or because its task was.
    pub fn drop_guard(self) -> DropGuard {
        DropGuard { token: Some(self) }
    }
}

impl Default for CancellationToken {
    fn default() -> CancellationToken {
        CancellationToken::new()
    }
}

impl PartialEq for CancellationToken {
    /// Whether both are the same token (a child is another).
    fn eq(&self, other: &CancellationToken) -> bool {
        Arc::ptr_eq(&self.node, &other.node)
    }
}

impl Eq for CancellationToken {}

impl fmt::Debug for CancellationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancellationToken").field("cancelled", &self.is_cancelled()).finish()
    }
}

/// Cancels its token when it is dropped.
#[derive(Debug)]
#[must_use = "the token is cancelled as soon as its guard is dropped"]
pub struct DropGuard {
    token: Option<CancellationToken>,
}

impl DropGuard {
    /// The token, which dropping then cancels no more.
    #[must_use]
    pub fn disarm(mut self) -> CancellationToken {
        self.token.take().unwrap_or_default()
    }
}

impl Drop for DropGuard {
    fn drop(&mut self) {
        if let Some(token) = self.token.take() {
            token.cancel();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// How many children a node remembers.
    fn remembered(token: &CancellationToken) -> usize {
        lock(&token.node.children).places.iter().flatten().count()
    }

    #[test]
    fn goes_down_the_tree_and_not_up() {
        let root = CancellationToken::new();
        let (left, right) = (root.child_token(), root.child_token());
        let below = left.child_token();
        left.cancel();
        assert_eq!([&root, &left, &right, &below].map(CancellationToken::is_cancelled), [false, true, false, true]);
        root.cancel();
        assert!(right.is_cancelled() && root.child_token().is_cancelled());
        assert_eq!(left, left.clone());
        assert_ne!(left, right);
    }

    #[test]
    fn a_token_in_the_middle_without_handles_still_hands_down() {
        let root = CancellationToken::new();
        let leaf = root.child_token().child_token();
        root.cancel();
        assert!(leaf.is_cancelled());
    }

    #[test]
    fn children_that_are_gone_are_forgotten_and_their_places_used_again() {
        let root = CancellationToken::new();
        let kept = root.child_token();
        for _ in 0..100 {
            drop(root.child_token());
        }
        assert_eq!((remembered(&root), lock(&root.node.children).places.len()), (1, 2));
        drop(kept);
        assert_eq!(remembered(&root), 0);
    }

    #[test]
    fn a_long_chain_is_cancelled_and_dropped_without_a_deep_stack() {
        for cancel in [true, false] {
            let root = CancellationToken::new();
            let mut last = root.child_token();
            for _ in 0..200_000 {
                last = last.child_token();
            }
            if cancel {
                root.cancel();
                assert!(last.is_cancelled());
            }
            drop(root);
            drop(last);
        }
    }

    #[test]
    fn a_guard_cancels_unless_disarmed() {
        let token = CancellationToken::new();
        assert!(!token.clone().drop_guard().disarm().is_cancelled());
        assert!(!token.is_cancelled());
        let guard = token.clone().drop_guard();
        assert!(
            std::panic::catch_unwind(move || {
                let _guard = guard;
                panic!("in the middle")
            })
            .is_err()
        );
        assert!(token.is_cancelled());
    }
}
