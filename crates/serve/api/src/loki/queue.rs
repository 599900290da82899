//! Where queries wait: a place for so many at once, handed out to tenants in turn.
//!
//! A request is never refused because others wait; it waits for as long as its own time-out allows.

use std::collections::VecDeque;
use std::sync::Arc;

use novaobs_model::Tenant;
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// A queue; cheap to clone.
#[derive(Clone)]
pub(super) struct FairQueue(Arc<Mutex<Inner>>);

struct Inner {
    free: usize,
    /// Tenants with waiting queries, the next one first.
    waiting: VecDeque<(Tenant, VecDeque<oneshot::Sender<Place>>)>,
}

/// A query's place among the running ones; dropping it lets the next query in.
pub(super) struct Place(Option<FairQueue>);

impl FairQueue {
    /// At most `places` (at least one) queries run at once.
    pub(super) fn new(places: usize) -> Self {
        FairQueue(Arc::new(Mutex::new(Inner { free: places.max(1), waiting: VecDeque::new() })))
    }

    /// Waits for a place. Dropping the future leaves the queue.
    pub(super) async fn enter(&self, tenant: &Tenant) -> Place {
        let receiver = {
            let mut inner = self.0.lock();
            if inner.free > 0 {
                inner.free -= 1;
                return Place(Some(self.clone()));
            }
            let (sender, receiver) = oneshot::channel();
            match inner.waiting.iter_mut().find(|(name, _)| name == tenant) {
                Some((_, queue)) => queue.push_back(sender),
                None => inner.waiting.push_back((tenant.clone(), VecDeque::from([sender]))),
            }
            receiver
        };
        // The queue keeps the sender until it sends: an error cannot come.
        receiver.await.unwrap_or(Place(None))
    }

    /// Gives a freed place to the next tenant's oldest query.
    fn pass_on(&self) {
        loop {
            let next = {
                let mut inner = self.0.lock();
                let Some((tenant, mut queue)) = inner.waiting.pop_front() else {
                    inner.free += 1;
                    return;
                };
                let next = queue.pop_front();
                if !queue.is_empty() {
                    inner.waiting.push_back((tenant, queue));
                }
                next
            };
            // Sent without the lock: a place that nobody takes any more comes back through `Drop`.
            if let Some(sender) = next {
                match sender.send(Place(Some(self.clone()))) {
                    Ok(()) => return,
                    Err(mut refused) => refused.0 = None,
                }
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(queue) = self.0.take() {
            queue.pass_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn tenants_take_turns_and_leavers_are_skipped() {
        let queue = FairQueue::new(1);
        let (a, b) = (Tenant::new("a"), Tenant::new("b"));
        let first = queue.enter(&a).await;
        let mut waiting: Vec<_> = [("a1", &a), ("a2", &a), ("a3", &a), ("b1", &b)]
            .map(|(name, tenant)| (name, Box::pin(queue.enter(tenant))))
            .into();
        for (_, future) in &mut waiting {
            assert!(future.now_or_never().is_none());
        }
        // A query whose client went away.
        drop(waiting.remove(1));
        let mut order = Vec::new();
        let mut running = Some(first);
        while !waiting.is_empty() {
            drop(running.take());
            let at = waiting.iter_mut().position(|(_, future)| {
                running = future.now_or_never();
                running.is_some()
            });
            order.push(waiting.remove(at.unwrap()).0);
        }
        assert_eq!(order, ["a1", "b1", "a3"]);
        drop(running);
        assert!(queue.enter(&b).now_or_never().is_some());
    }
}
