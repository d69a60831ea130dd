package client

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"

	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/session"
)

// BusyError says that the platform runs as many sessions as it takes, in all or of
// this advertiser. Nothing but HELLO has left this process.
type BusyError struct {
	// After is when the platform asks to be tried again; 0 if it did not say.
	After time.Duration
	Err   error
}

func (e *BusyError) Error() string {
	if e.After == 0 {
		return "client: the platform is busy"
	}
	return fmt.Sprintf("client: the platform is busy, and asks to be tried again in %v", e.After)
}

// Unwrap returns what the session ended with.
func (e *BusyError) Unwrap() error { return e.Err }

// Bounds of what a platform may ask for: the reader of the error might obey it.
const (
	leastWait = time.Second
	mostWait  = 24 * time.Hour
)

// statusTime is how long a platform may take to end a call that it has refused.
const statusTime = 2 * time.Second

// busy makes of a session's error what the platform's status says of it. Nobody
// else reads from the stream any more; the goroutine ends with the call.
func busy(stream ampsiv1.Match_SessionClient, err error) error {
	ended := make(chan error, 1)
	go func() {
		_, err := stream.Recv()
		ended <- err
	}()
	timer := time.NewTimer(statusTime)
	defer timer.Stop()
	select {
	case end := <-ended:
		return &BusyError{retryAfter(end), err}
	case <-timer.C:
		return &BusyError{0, err}
	}
}

// retryAfter is the delay in a google.rpc.RetryInfo, in whole seconds.
func retryAfter(err error) time.Duration {
	for _, d := range status.Convert(err).Details() {
		info, ok := d.(*errdetails.RetryInfo)
		if !ok || !info.GetRetryDelay().IsValid() || info.GetRetryDelay().AsDuration() <= 0 {
			continue
		}
		wait := min(max(info.GetRetryDelay().AsDuration(), leastWait), mostWait)
		return (wait + time.Second - 1).Truncate(time.Second)
	}
	return 0
}

// refused says what the platform's refusal to open a session means, if it is one.
func (c *Client) refused(stream ampsiv1.Match_SessionClient, err error) error {
	var abort *session.PeerAbort
	switch {
	case !errors.As(err, &abort):
	case abort.Code == psi.AbortTerms:
		// It has not said under which policy it would: an ABORT is a code and no more.
		return fmt.Errorf("client: the platform holds another policy than %x, or has not agreed to what was asked: %w", c.c.Policy.Hash(), err)
	case abort.Code == psi.AbortBusy:
		return busy(stream, err)
	}
	return err
}
