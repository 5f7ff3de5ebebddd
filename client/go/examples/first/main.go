package main

import (
	"context"
	"fmt"
	"log"

	"buildrunner.dev/parallel/client"
	pb "buildrunner.dev/parallel/v1"
)

func main() {
	ctx := context.Background()
	c, err := client.New()
	if err != nil {
		log.Fatal(err)
	}
	session, err := c.SubmitPlan(ctx, &pb.PlanHeader{
		Create: &pb.CreateSessionRequest{Name: "checks", WantedWorkers: 2}, Seal: true, Start: true,
	}, client.Task{ID: "vet", Shell: "go vet ./..."}, client.Task{ID: "test", Shell: "go test ./...", Needs: []string{"vet"}})
	if err == nil {
		session, err = c.WaitSession(ctx, session.SessionId)
	}
	fmt.Println(session.GetStatus(), err)
}
