package client

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
)

func protoOf(message proto.Message) protoadapt.MessageV1 { return protoadapt.MessageV1Of(message) }
