// Asks Flux's own code how healthy objects are: kstatus, and the expressions of a Kustomization's healthCheckExprs.
//
// Reads {"expressions": {"current": …, "failed": …, "inProgress": …}, "objects": {name: object}} from standard input and
// writes {name: {"kstatus": status, "expressions": status}}; a status is "error: …" where Flux could not tell.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func told(result *status.Result, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	return result.Status.String()
}

func main() {
	var question struct {
		Expressions kustomize.HealthCheckExpressions      `json:"expressions"`
		Objects     map[string]*unstructured.Unstructured `json:"objects"`
	}
	if err := json.NewDecoder(os.Stdin).Decode(&question); err != nil {
		log.Fatal(err)
	}
	evaluator, err := cel.NewStatusEvaluator(&question.Expressions)
	if err != nil {
		log.Fatal(err)
	}
	answer := map[string]map[string]string{}
	for name, object := range question.Objects {
		answer[name] = map[string]string{
			"kstatus":     told(status.Compute(object)),
			"expressions": told(evaluator.Evaluate(context.Background(), object)),
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
		log.Fatal(err)
	}
}
