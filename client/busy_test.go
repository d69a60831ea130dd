package client_test

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/overlap-psi/overlap/client"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
)

// A busy platform says when to come back, and the client's error says so too; what
// no platform should ask for is not passed on.
func TestPlatformIsBusy(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), 1, func(t *testing.T, w *world) {
		rest := atRest(t, w)
		for _, c := range []struct {
			details []protoadapt.MessageV1
			hangs   bool
			want    time.Duration
		}{
			{nil, false, 0},
			{[]protoadapt.MessageV1{&errdetails.RetryInfo{}}, false, 0},
			{[]protoadapt.MessageV1{&errdetails.RetryInfo{RetryDelay: &durationpb.Duration{Seconds: -5}}}, false, 0},
			{[]protoadapt.MessageV1{&errdetails.RetryInfo{RetryDelay: &durationpb.Duration{Seconds: 1, Nanos: -1}}}, false, 0},
			{[]protoadapt.MessageV1{&errdetails.RetryInfo{RetryDelay: &durationpb.Duration{Nanos: 1}}}, false, time.Second},
			{[]protoadapt.MessageV1{&errdetails.ErrorInfo{}, &errdetails.RetryInfo{RetryDelay: durationpb.New(90*time.Second + 1)}}, false, 91 * time.Second},
			{[]protoadapt.MessageV1{&errdetails.RetryInfo{RetryDelay: &durationpb.Duration{Seconds: 315_576_000_000}}}, false, 24 * time.Hour},
			{nil, true, 0},
		} {
			w.instead = func(s grpc.ServerStream) error {
				if err := s.SendMsg(&ampsiv1.Frame{Type: uint32(psi.FrameAbort), Body: []byte{byte(psi.AbortBusy)}}); err != nil {
					return err
				}
				if c.hangs {
					<-s.Context().Done()
				}
				st := status.New(codes.Aborted, psi.AbortBusy.Error())
				if len(c.details) > 0 {
					var err error
					st, err = st.WithDetails(c.details...)
					must(t, err)
				}
				return st.Err()
			}
			started := time.Now()
			_, err := w.match(t.Context(), "spring", 0, 5)
			wantCode(t, err, psi.AbortBusy)
			var busy *client.BusyError
			if !errors.As(err, &busy) || busy.After != c.want {
				t.Errorf("%v: %v, want %v", c.details, err, c.want)
			}
			if took := time.Since(started); took > 5*time.Second {
				t.Errorf("it takes %v", took)
			}
			w.instead = nil
			rest.check("busy")
		}
	})
}
